"""Reads TensorBoard's event files as TensorBoard does."""

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c


def read_events(folder):
    """The events of a folder in order, without those that a later start repeats."""
    events = []
    for path in sorted(Path(folder).iterdir()):
        for number, event in enumerate(_records(path.read_bytes())):
            assert (number == 0) == (event.file_version == "brain.Event:2"), path
            if event.session_log.status == SessionLog.START:
                events = [each for each in events if each.step < event.step]
            events.append(event)
    return events


def _records(content):
    """Complete records; TensorBoard waits for the rest of one that is cut off."""
    while len(content) >= 12:
        (length,) = struct.unpack("<Q", content[:8])
        assert struct.unpack("<I", content[8:12])[0] == masked_crc32c(content[:8])
        if len(content) < length + 16:
            return
        data, sums = content[12 : length + 12], content[length + 12 : length + 16]
        assert struct.unpack("<I", sums)[0] == masked_crc32c(data)
        yield Event.FromString(data)
        content = content[length + 16 :]


def read_values(folder):
    """All summaries of all events."""
    return [value for event in read_events(folder) for value in event.summary.value]


def read_scalars(folder):
    """Steps and values by tag, in the order of the files."""
    found = {}
    for event in read_events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def read_tags(folder, field):
    """Tags and steps of another kind of summary: "image", "histo" or "tensor"."""
    return [
        (value.tag, event.step)
        for event in read_events(folder)
        for value in event.summary.value
        if value.HasField(field)
    ]
