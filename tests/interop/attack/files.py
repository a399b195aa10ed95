"""Models and outputs that are not files, or are in forbidden places."""

import os
import pwd
import resource
import signal

from . import Cases, encoded, plain

CASES = Cases("file")
FAULT = (1, 2)


def file(name, expect, note, prepare=None, model="model.onnx", **more):
    def write(folder):
        (folder / "model.onnx").write_bytes(encoded(plain()))
        if prepare:
            prepare(folder)

    CASES.add(name, expect, note, write, model=model, codes=FAULT, **more)


def output(name, expect, note, path, prepare=None, **more):
    file(f"output_{name}", expect, note, prepare, output=path, commands=("optimize",), **more)


def nobody():
    """Drops root privileges, to which file permissions do not apply."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(pwd.getpwnam("nobody").pw_gid)
        os.setuid(pwd.getpwnam("nobody").pw_uid)


def small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


file("missing", "reject", "a model that does not exist", model="nowhere.onnx")
file("folder", "reject", "a folder", lambda folder: (folder / "sub.onnx").mkdir(), "sub.onnx")
file("below_a_file", "reject", "a file used as a folder", model="model.onnx/x")
file("fifo", "reject", "a FIFO that nobody writes", lambda folder: os.mkfifo(folder / "pipe.onnx"), "pipe.onnx")
file(
    "device",
    "reject",
    "an endless device",
    lambda folder: os.mknod(folder / "zero.onnx", 0o20666, os.makedev(1, 5)),
    "zero.onnx",
)
file(
    "device_empty",
    "reject",
    "an empty device",
    lambda folder: os.mknod(folder / "null.onnx", 0o20666, os.makedev(1, 3)),
    "null.onnx",
)
file(
    "zero",
    "reject",
    "a link to an endless device",
    lambda folder: (folder / "zero.onnx").symlink_to("/dev/zero"),
    "zero.onnx",
)
file(
    "process",
    "reject",
    "a link to a file of the kernel",
    lambda folder: (folder / "maps.onnx").symlink_to("/proc/self/maps"),
    "maps.onnx",
)
file("link", "accept", "a link to a model", lambda folder: (folder / "link.onnx").symlink_to("model.onnx"), "link.onnx")
file(
    "link_broken",
    "reject",
    "a dangling link",
    lambda folder: (folder / "link.onnx").symlink_to("nowhere"),
    "link.onnx",
)
file(
    "link_loop",
    "reject",
    "a link to itself",
    lambda folder: (folder / "link.onnx").symlink_to("link.onnx"),
    "link.onnx",
)
file("sparse", "reject", "a sparse file of 8 GB", lambda folder: os.truncate(folder / "model.onnx", 8 << 30))
file(
    "unreadable",
    "reject",
    "a file without read permission",
    lambda folder: (folder / "model.onnx").chmod(0),
    prepare_child=nobody,
)
file(
    "name_of_lines",
    "reject",
    "a file whose name forges a message",
    lambda folder: (folder / "a\nerror: all is well\x1b[2J").write_bytes(b"?"),
    "a\nerror: all is well\x1b[2J",
)
file(
    "name_of_bytes",
    "accept",
    "a file whose name is not UTF-8",
    lambda folder: os.rename(folder / "model.onnx", os.fsencode(folder) + b"/m\xff.onnx"),
    os.fsdecode(b"m\xff.onnx"),
    runs=False,
)
file(
    "name_of_dashes",
    "accept",
    "a file whose name begins like a flag, by its path",
    lambda folder: (folder / "model.onnx").rename(folder / "--help"),
    "--help",
)
output("folder_missing", "reject", "a folder that does not exist", "../nowhere/out.onnx")
output("is_a_folder", "reject", "a folder", "../out")
output("below_a_file", "reject", "a file used as a folder", "model.onnx/out.onnx")
output("name_empty", "reject", "a folder with a trailing slash", "../out/")
output("name_long", "reject", "a name with 300 letters", "../out/" + "o" * 300)
output(
    "folder_read_only",
    "reject",
    "a folder without write permission",
    "../out/out.onnx",
    lambda folder: (folder.parent / "out").chmod(0o555),
    prepare_child=nobody,
)
output("disk_full", "reject", "a full disk", "../out/out.onnx", prepare_child=small_files)
output(
    "disk_full_in_place", "reject", "a disk too full for a second copy of the input", "model.onnx", prepare_child=small_files
)
output("fifo", "bounded", "a FIFO that nobody reads", "pipe", lambda folder: os.mkfifo(folder / "pipe"))
output("device", "bounded", "a device", "null", lambda folder: os.mknod(folder / "null", 0o20666, os.makedev(1, 3)))
output(
    "link",
    "bounded",
    "a link to a file",
    "link",
    lambda folder: ((folder / "other.onnx").write_bytes(b"?"), (folder / "link").symlink_to("other.onnx")),
)
output("link_broken", "bounded", "a dangling link", "link", lambda folder: (folder / "link").symlink_to("nowhere"))
output(
    "hard_link",
    "bounded",
    "a hard link to a file outside",
    "hard",
    lambda folder: os.link(folder.parent / "secret.bin", folder / "hard"),
)
output("in_place", "accept", "the input", "model.onnx", runs=False)
output(
    "in_place_by_link",
    "bounded",
    "the input by a link",
    "link.onnx",
    lambda folder: (folder / "link.onnx").symlink_to("model.onnx"),
)
