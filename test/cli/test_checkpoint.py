"""``lseg checkpoint`` from the command line: inspect, convert, fetch."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch

from lseg_ros import __version__
from lseg_ros.cli import main
from lseg_ros.model import PRESETS, LSeg, load_lseg
from lseg_ros.model.checkpoint import save_lseg
from lseg_ros.model.key_mapping import expected_entries, to_official_key, unused_entries
from lseg_ros.model.provenance import TrainingSet, provenance
from lseg_ros.model.text_encoder import TextConfig
from lseg_ros.model.weight_files import open_weights
from test.support.tiny_network import write_tiny

# the authors' layout with narrow layers; the text encoder still shows which CLIP model it is
CONFIG = dataclasses.replace(
    PRESETS["vitb32"],
    width=64, heads=1, reassemble=(8, 16, 24, 32), features=16, pretrained_size=64,
    text=TextConfig(width=512, heads=8, layers=1, embed_dim=32, vocab_size=64),
)  # fmt: skip


@pytest.fixture
def lightning(tmp_path: Path) -> Path:
    """Write a Lightning checkpoint like the authors', with a spatial regularization block."""
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, arch_option=1)
    model = LSeg(config).eval()
    tensors = {f"net.{to_official_key(name, config)}": value for name, value in model.state_dict().items()}
    for name, value in unused_entries(config).items():
        tensors[f"net.{name}"] = torch.zeros((), dtype=value.dtype).expand(value.shape)
    torch.save({"epoch": 199, "state_dict": tensors}, tmp_path / "demo_e200.ckpt")
    return tmp_path / "demo_e200.ckpt"


def test_inspect_shows_parts_architecture_and_unused_entries(
    lightning: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["checkpoint", "inspect", str(lightning)]) == 0
    printed = capsys.readouterr().out
    assert f"{lightning}: Lightning checkpoint" in printed
    assert "image tower of CLIP (unused)         152    87,849,216   335.1 MiB  float32" in printed
    assert "unused in total                      169    87,919,083" in printed
    assert "12 blocks of 64, patches of 32 px, pretrained at 64 px" in printed
    assert "bottleneck (arch_option 1), block_depth 0, lrelu; official files do not store these" in printed
    assert "epoch:                  199" in printed


def test_inspect_shows_a_safetensors_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "inspect", write_tiny(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "safetensors" in printed
    assert "no preset" in printed
    assert "unused" not in printed


def test_inspect_shows_the_parts_of_a_file_that_is_not_lseg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "resnet.pt")
    assert main(["checkpoint", "inspect", str(tmp_path / "resnet.pt")]) == 2
    captured = capsys.readouterr()
    assert "not part of LSeg" in captured.out
    assert "1 unexpected (conv1.weight); it shares no entry with any LSeg network" in captured.err


def test_every_command_names_an_entry_that_is_not_finite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_lseg(write_tiny(tmp_path))
    with torch.no_grad():
        model.head.weight[0] = torch.nan
    broken = str(tmp_path / "broken.safetensors")
    save_lseg(model, broken)
    out = str(tmp_path / "out.safetensors")
    commands = (
        ["inspect", broken],
        ["convert", broken, out],
        ["average", broken, broken, "--out", out],
    )
    for command in commands:
        assert main(["checkpoint", *command]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.endswith(f"{broken}: scratch.head1.weight: expected finite values, got nan")
    assert not Path(out).exists()


def test_inspect_shows_foreign_metadata_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_lseg(write_tiny(tmp_path))
    save_lseg(model, tmp_path / "a.safetensors", metadata={"no\nte": "a\n[FATAL] \x1b[31m" + "b" * 1000})
    assert main(["checkpoint", "inspect", str(tmp_path / "a.safetensors")]) == 0
    assert r"no\nte:" in (line := capsys.readouterr().out.splitlines()[-1])
    assert r"a\n[FATAL] \x1b[31mbbb" in line and len(line) < 140


def test_inspect_shows_license_and_training_data_and_convert_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = (TrainingSet("streets", 0.75, "CC-BY-4.0"), TrainingSet("synthetic", 0.25))
    save_lseg(load_lseg(write_tiny(tmp_path)), tmp_path / "a.safetensors", metadata=provenance(sets, "CC-BY-4.0", {}))
    assert main(["checkpoint", "convert", str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]) == 0
    capsys.readouterr()
    assert main(["checkpoint", "inspect", str(tmp_path / "b.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "license:                CC-BY-4.0" in lines
    first = lines.index("training data:          streets, share 75.0%, license: CC-BY-4.0")
    assert lines[first + 1] == "                        synthetic, share 25.0%, license: unknown"


def test_convert_stores_int8_and_inspect_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, destination = write_tiny(tmp_path), tmp_path / "int8.safetensors"
    assert main(["checkpoint", "convert", source, str(destination), "--int8"]) == 0
    assert destination.stat().st_size < 0.4 * Path(source).stat().st_size
    assert main(["checkpoint", "inspect", str(destination)]) == 0
    assert "float32, int64, int8" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["checkpoint", "convert", source, str(destination), "--int8", "--half"])
    assert "int8: expected neither half nor official" in capsys.readouterr().err


def test_convert_drops_unused_entries_and_records_the_source(
    lightning: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = tmp_path / "new" / "lseg.safetensors"
    block = ["--arch-option", "2", "--block-depth", "3", "--activation", "tanh"]
    assert main(["checkpoint", "convert", str(lightning), str(destination), *block]) == 0
    weights = open_weights(destination)
    assert set(weights.entries) == set(expected_entries(dataclasses.replace(CONFIG, arch_option=1)))
    assert weights.metadata["source"] == "demo_e200.ckpt"
    assert weights.metadata["source_sha256"] == hashlib.sha256(lightning.read_bytes()).hexdigest()
    assert weights.metadata["tool"] == f"lseg_ros {__version__}"
    assert weights.metadata["epoch"] == "199"
    assert load_lseg(destination).config == dataclasses.replace(CONFIG, arch_option=2, block_depth=3, activation="tanh")
    expected = load_lseg(lightning).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in load_lseg(destination).state_dict().items())
    printed = capsys.readouterr().out
    assert "87.9 million unused values" in printed
    assert hashlib.sha256(destination.read_bytes()).hexdigest() in printed


def test_converting_again_keeps_the_first_source(lightning: Path, tmp_path: Path) -> None:
    once, twice, thrice = (tmp_path / f"{name}.safetensors" for name in ("once", "twice", "thrice"))
    for source, destination in ((lightning, once), (once, twice), (twice, thrice)):
        assert main(["checkpoint", "convert", str(source), str(destination)]) == 0
    metadata = open_weights(thrice).metadata
    assert metadata["source"] == "twice.safetensors"
    assert metadata["first_source"] == "demo_e200.ckpt"
    assert metadata["first_source_sha256"] == hashlib.sha256(lightning.read_bytes()).hexdigest()


def test_convert_can_store_matrices_in_float16(lightning: Path, tmp_path: Path) -> None:
    destination = tmp_path / "half.safetensors"
    assert main(["checkpoint", "convert", str(lightning), str(destination), "--half"]) == 0
    types = {value.dtype for value in open_weights(destination).entries.values() if value.ndim >= 2}
    assert types == {torch.float16}


def test_convert_writes_the_official_format(lightning: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "lseg.safetensors", tmp_path / "again.ckpt"
    assert main(["checkpoint", "convert", str(lightning), str(ours)]) == 0
    assert main(["checkpoint", "convert", str(ours), str(theirs), "--official"]) == 0
    one, other = (torch.load(file, weights_only=True)["state_dict"] for file in (lightning, theirs))
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in other.items()}
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "nowhere.ckpt"], "expected a file or one of the presets"),
        (["inspect", "vitl16"], "expected a file, got the preset 'vitl16', which comes without weights"),
        (["convert", "demo", "demo.pt"], "a destination with the suffix .safetensors, got 'demo.pt'"),
        (["convert", "demo", "demo.safetensors", "--official"], "a destination with a suffix other than .safetensors"),
        (["convert", "demo", "demo.ckpt", "--official"], "an official network: expected no stem"),
        (["convert", "demo"], "expected a source, and a destination with the suffix .safetensors, got ''"),
        (["inspect"], "expected a checkpoint, got none"),
        (["fetch", "demo_e300"], "expected one of demo_e200, pascal_fold0"),
        (["inspct", "x"], "expected one of the commands checkpoint inspect, checkpoint convert, checkpoint average,"),
        ([], "expected one of the commands checkpoint inspect"),
    ],
)
def test_rejects_unusable_arguments(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["checkpoint", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [("--sha256", "abc", "sha256: expected 64 hexadecimal digits"), ("--max-size", "nan", "max_size: expected")],
)
def test_fetch_rejects_limits_before_it_downloads(
    flag: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["checkpoint", "fetch", "demo_e200", flag, value])
    assert message in " ".join(capsys.readouterr().err.split())


def test_fetch_without_a_name_lists_all_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "fetch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("demo_e200 ")
    assert lines[0].endswith("https://drive.google.com/file/d/1FTuHY1xPUkM-5gaDtMfgCl3D0gR89WV7/view")


def test_help_lists_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "--help"]) == 0
    assert "checkpoint convert" in capsys.readouterr().out
