"""`python -m basrelief`: the same as the command `basrelief`."""

from basrelief.cli import main

if __name__ == "__main__":
    main()
