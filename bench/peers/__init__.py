"""What others build, written as well as its authors would: each a program of its own."""
