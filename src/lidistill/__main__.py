"""``python -m lidistill``, also under torchrun."""

from lidistill.cli import main

if __name__ == "__main__":
    main()
