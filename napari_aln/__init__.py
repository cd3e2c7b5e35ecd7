"""Axillary lymph node metastasis from breast core-needle biopsy slides with attention MIL.

Research use only.
"""
