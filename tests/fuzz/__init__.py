"""Whatever comes, a value or a typed error comes of it: in time, in bounds, and the node serves as before."""
