"""`python -m ironbook` is the command `ironbook`."""

from ironbook.cli import main

if __name__ == "__main__":
    main()
