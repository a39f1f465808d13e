"""How much of a file from elsewhere is opened and decoded. Every limit, with its reason, is here.

What exceeds one is refused while a brief is compiled, with file, field and remedy, before anything
of that size has been allocated.
"""

from __future__ import annotations

MAX_FILE_BYTES = 2_000_000_000
"""Of a picture, clip or sound. Ten minutes of 4K from a phone are about 4 GB; what is needed of it
for a minute of video is far less, and is better cut out first."""

# Pictures -----------------------------------------------------------------------------------------

MAX_IMAGE_PIXELS = 80_000_000
"""A frame has 2 million, the largest sensors of phones 50 (as delivered). Decoded with transparency
these are 320 MB; WebP without loss, the greediest, takes 1.3 GB for them."""
MAX_IMAGE_SIDE = 20_000
"""Panoramas of phones are up to 16,400 wide. OpenCV draws nothing beyond 32,767, and a strip of one
pixel by 80 million is within the pixels."""
MAX_PROFILE_BYTES = 4_000_000
"""Of an embedded colour profile. Those of printing presses have up to 3 MB; more is left out, and
the picture taken as sRGB."""
MAX_TEXT_BYTES = 4_000_000
"""Of all compressed texts of a PNG taken together, once unpacked."""

# Clips and sounds ---------------------------------------------------------------------------------

MAX_VIDEO_SIDE = 4096
"""4K; decoders need a dozen pictures of that size at once."""
MAX_VIDEO_PIXELS = MAX_VIDEO_SIDE * MAX_VIDEO_SIDE
"""Told to the decoders themselves, since a stream may say another size than its container."""
MAX_VIDEO_SECONDS = 600
"""Of a clip. A video has 60."""
MAX_SOUND_SECONDS = 6 * 3600
"""Of a sound: a long recording. Only what is heard is ever decoded."""
MAX_STREAMS = 32
"""Tracks of a container. Cameras write up to eight, screen recorders ten."""
MAX_FRAME_RATE = 1000
"""Frames a second. High-speed cameras of phones write 960. A file that only claims more, without
having them, is taken at the rate that its times show."""
MAX_PACKETS = 1_000_000
"""Pieces of a track: ten minutes at 1000 frames a second, or 40 of the shortest packets of sound.
Each takes 24 bytes of index in memory, and a header of ten bytes can announce four billion."""
MAX_ASPECT = 4
"""A pixel is at most this much wider than high, or higher than wide (anamorphic lenses make 2);
another aspect is a slip, and is not heeded."""
MAX_ALPHA_PIXELS = 150_000_000
"""Of a clip's frames, taken together, that are looked through for a transparent one: 70 frames of
1080x1920. Where none is among them and there are more, the clip is drawn as if it were."""
SURVEYED_KEYFRAMES = 40
"""Of a clip, evenly spread: what is looked at to find that its size changes."""
MAX_BROKEN_START = 600
"""Pieces of a track that don't decode before the first that does: where a broadcast was cut into,
it is up to ten seconds to the next picture that stands by itself."""
MAX_CHANNELS = 64
"""Of sound: the most that ffmpeg names a layout for."""
MAX_SAMPLE_RATE = 768_000
"""Of sound, samples a second: the most that converters are built for."""

# Time and memory ----------------------------------------------------------------------------------

EXAMINE_CPU_SECONDS = 60
"""A processor's time for examining one file, whatever else the machine has to do. The largest
pictures allowed take two seconds."""
EXAMINE_SECONDS = 180.0
"""The same by the clock: for a disk or a network share that has gone quiet."""
EXAMINE_BYTES = 2 << 30
"""Address space of the process that examines files: a picture at every limit needs 1.4 GB. A file
that wants more is refused; the run is not taken down."""
READ_SECONDS = 60.0
"""A read of a file that takes longer has failed."""
DECODE_SECONDS = 120.0
"""Between two frames of a clip, seeking included. More means that nothing comes."""
SOUND_SECONDS = 300.0
"""For ffmpeg to decode or to measure a sound; it is stopped then."""
FFMPEG_SECONDS = 600.0
"""The same for all else that it does on its own."""
ENCODE_SECONDS = 300.0
"""For an encoder to take the next bytes of its input, and to end after the last of them. A frame
takes it less than a second; more means that nothing comes."""
FFMPEG_BYTES = 16 << 30
"""Address space of an ffmpeg that decodes, copies or measures."""
