"""Who is watching here: rooms, followers, and the hub that joins them to the bus."""
