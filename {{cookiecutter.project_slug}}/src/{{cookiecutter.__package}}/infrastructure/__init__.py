"""What the slices stand on: settings, database, mail, logging and whatever the project was generated with."""
