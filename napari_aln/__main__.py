"""``python -m napari_aln``: the command line."""

from napari_aln.cli import main

if __name__ == "__main__":
    main()
