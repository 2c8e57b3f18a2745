"""Files -> frames and what their headers say of the spacing: images, DICOM, archives, the ruler. NumPy, Pillow."""
