"""`python -m memcrdt` is the command line."""

from memcrdt.cli import main

if __name__ == "__main__":
    main()
