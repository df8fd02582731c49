"""What all routes share, and the routes that belong to no slice."""
