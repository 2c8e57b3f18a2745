"""PixelMed's DicomSRValidator, which knows TID 1500 and its children, but not TID 5000."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

JAR = Path("/usr/share/java/pixelmed.jar")
_NO_LIMITS = [f"-Djdk.xml.xpath{limit}=0" for limit in ("TotalOpLimit", "ExprOpLimit", "ExprGrpLimit")]
"""Its style sheets are longer than Java's default limits."""


def faults(path: Path) -> list[str]:
    """Errors and warnings about a report."""
    if not JAR.exists():
        pytest.skip("no DicomSRValidator: apt-get install pixelmed-apps")
    call = ["java", *_NO_LIMITS, "-cp", str(JAR), "com.pixelmed.validate.DicomSRValidator", str(path)]
    lines = subprocess.run(call, capture_output=True, text=True, check=True, timeout=600).stdout.splitlines()
    assert "Root Template Validation Complete" in lines
    assert "Found Root Template TID_1500 (MeasurementReport)" in lines
    return [line for line in lines if line.startswith(("Error", "Warning"))]
