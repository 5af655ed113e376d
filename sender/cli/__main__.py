"""``python -m sender.cli``."""

from sender.cli import main

if __name__ == "__main__":
    main()
