"""From an overview picture to patches and bags: tissue, entropy, the one grid, regions, partitions.

Works on arrays and µm/px alone; nothing here knows an open slide.
"""
