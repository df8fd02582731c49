"""Reports: the daily report, newsletters, exports of a user's data, and the clean-up of what is old."""
