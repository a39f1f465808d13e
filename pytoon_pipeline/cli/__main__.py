"""`python -m pytoon_pipeline.cli`."""

from pytoon_pipeline.cli import main

if __name__ == "__main__":
    main()
