"""A PACS swept over DICOMweb: each object once."""
