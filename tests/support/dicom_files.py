"""DICOM files for the tests: a frame wrapped as a scanner would, in any transfer syntax."""

from __future__ import annotations

import re
from pathlib import Path

import gdcm
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

GDCM_SYNTAXES = {
    "jpeg_lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "jpeg_2000_lossless": gdcm.TransferSyntax.JPEG2000Lossless,
    "jpeg_ls_lossless": gdcm.TransferSyntax.JPEGLSLossless,
    "rle": gdcm.TransferSyntax.RLELossless,
    "jpeg_baseline": gdcm.TransferSyntax.JPEGBaselineProcess1,
}


def region(row_mm: float = 0.2, column_mm: float = 0.2, units: int | None = 3, **changes: object) -> Dataset:
    """One item of the Sequence of Ultrasound Regions: 2-D tissue of the whole frame unless changed."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = 0, 0
    if units is not None:
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = column_mm / 10, row_mm / 10
    for name, value in changes.items():
        setattr(item, name, value)
    return item


def ultrasound(pixels: np.ndarray, regions: list[Dataset] | None = None, photometric: str | None = None) -> FileDataset:
    """A data set of pixels ([frames,] H, W[, 3]) uint8 or uint16; colour is told by the last axis."""
    colour = pixels.shape[-1] == 3
    cine = pixels.ndim == 3 + colour
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage if cine else UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Doe^Jane", "P1", "19900101", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240102", "101112", "1", "A1"
    ds.ReferringPhysicianName, ds.Modality, ds.Manufacturer = "", "US", "Maker"
    ds.SeriesNumber, ds.InstanceNumber, ds.PatientOrientation = 1, 1, ""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    ds.Rows, ds.Columns = pixels.shape[cine : cine + 2]
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = photometric or ("RGB" if colour else "MONOCHROME2")
    if colour:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, 0
    if cine:
        ds.NumberOfFrames, ds.FrameTime = len(pixels), 40.0
        ds.FrameIncrementPointer = 0x00181063
    data = pixels.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB" if pixels.dtype == np.uint8 else "OW"
    for item in regions or ():
        for name, last in (("RegionLocationMaxX1", ds.Columns - 1), ("RegionLocationMaxY1", ds.Rows - 1)):
            if name not in item:
                setattr(item, name, last)
    if regions:
        ds.SequenceOfUltrasoundRegions = Sequence(regions)
    return ds


def save(ds: Dataset, path: Path, syntax: str | None = None) -> Path:
    """Write a data set, compressed by GDCM where a syntax is named."""
    ds.save_as(path, enforce_file_format=True)
    if syntax is None:
        return path
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(GDCM_SYNTAXES[syntax]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path


def as_ultrasound(data: bytes) -> bytes:
    """A published file of another modality (explicit VR) with Modality US: its coding is what a test is about."""
    return re.sub(rb"(CS(?:\x02\x00|\x00\x02))(?:MR|CT|NM)", rb"\1US", data, count=1)
