"""`python -m pytoon_pipeline.cli`."""

from pytoon_pipeline.cli import run_program

if __name__ == "__main__":
    run_program()
