"""Durations and sizes as people write them."""

import re

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


def parse_duration(text):
    """Seconds of a text such as ``1h 30m`` or ``250ms``; raises ValueError for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(ms|[smhd])", text)
    if not parts or re.sub(r"\d+(?:\.\d+)?\s*(?:ms|[smhd])", "", text).strip():
        raise ValueError(f"{text!r} is no duration: write it like '1h 30m'")
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def parse_size(text):
    """Bytes of a text such as ``10k`` or ``1.5Gi``; raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]i?|Ki)?B?", text.strip())
    if not match or (match[2] or "") not in BYTES:
        raise ValueError(f"{text!r} is no size: write it like '1.5Gi'")
    return int(float(match[1]) * BYTES[match[2] or ""])


def format_duration(seconds):
    """The two largest units of a duration, ``1h 30m``; sub-second ones in milliseconds."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    whole, parts = round(seconds), []
    for unit in "dhms":
        count, whole = divmod(whole, SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
