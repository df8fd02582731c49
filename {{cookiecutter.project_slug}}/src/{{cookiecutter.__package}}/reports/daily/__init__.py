"""What happened on each day: counted, stored, and mailed to the admins."""
