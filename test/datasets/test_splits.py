"""Split files list the images of each class; reading them never executes code."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lseg_ros.datasets.splits import find_split_file, read_images_by_class, read_split
from test.datasets.test_restricted_pickle import Command
from test.support.dataset_trees import write_text

IN_ONE_FOLDER = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class TestReadSplit:
    def test_reads_images_and_classes_that_count_from_1(self, tmp_path: Path) -> None:
        file = write_text(tmp_path / "fold0.txt", "2007_000033__01", "2007_000061__04")
        assert read_split(file, 20) == [("2007_000033", 0), ("2007_000061", 3)]

    @pytest.mark.parametrize("line", ["2007_000033", "2007_000033__00", "2007_000033__21", "__01", "2007_000033__a"])
    def test_rejects_other_lines(self, tmp_path: Path, line: str) -> None:
        file = write_text(tmp_path / "fold0.txt", line)
        with pytest.raises(ValueError, match=rf"fold0\.txt: expected lines like .*, class 1 to 20, got '{line}'"):
            read_split(file, 20)

    def test_rejects_an_empty_file(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"fold0\.txt: expected lines like 2007_000033__01, got none"):
            read_split(write_text(tmp_path / "fold0.txt"), 20)


class TestReadImagesByClass:
    @IN_ONE_FOLDER
    @given(
        content=st.dictionaries(st.integers(0, 79), st.lists(st.text(max_size=9))),
        protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    )
    def test_reads_pickles(self, tmp_path: Path, content: dict[int, list[str]], protocol: int) -> None:
        (tmp_path / "fold0.pkl").write_bytes(pickle.dumps(content, protocol))
        assert read_images_by_class(tmp_path / "fold0.pkl", 80) == content

    def test_reads_text_files(self, tmp_path: Path) -> None:
        file = write_text(tmp_path / "fold0.txt", "val2014/a__01", "val2014/b__80", "val2014/c__01")
        assert read_images_by_class(file, 80) == {0: ["val2014/a", "val2014/c"], 79: ["val2014/b"]}

    def test_rejects_a_large_pickle_before_reading_it(self, tmp_path: Path) -> None:
        with (tmp_path / "split.pkl").open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(ValueError, match=r"split\.pkl: expected .*at most \d+ bytes, got 1099511627776"):
            read_images_by_class(tmp_path / "split.pkl", 5)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_rejects_pickles_that_call_functions(self, tmp_path: Path, protocol: int) -> None:
        (tmp_path / "fold0.pkl").write_bytes(pickle.dumps({0: [Command(tmp_path / "made")]}, protocol))
        with pytest.raises(ValueError, match=r"fold0\.pkl: expected a pickle of plain lists of names, got .*mkdir"):
            read_images_by_class(tmp_path / "fold0.pkl", 80)
        assert not (tmp_path / "made").exists()

    def test_rejects_pickled_arrays(self, tmp_path: Path) -> None:
        (tmp_path / "fold0.pkl").write_bytes(pickle.dumps({0: np.array(["a"])}))
        with pytest.raises(ValueError, match=r"fold0\.pkl: expected a pickle of plain lists of names, got .*numpy"):
            read_images_by_class(tmp_path / "fold0.pkl", 80)

    @pytest.mark.parametrize("content", [["a"], {80: ["a"]}, {"0": ["a"]}, {0: "a"}, {0: [1]}])
    def test_rejects_other_contents(self, tmp_path: Path, content: object) -> None:
        (tmp_path / "fold0.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=r"fold0\.pkl: expected a dictionary from class, 0 to 79"):
            read_images_by_class(tmp_path / "fold0.pkl", 80)

    @IN_ONE_FOLDER
    @given(st.binary(max_size=40))
    def test_reads_or_rejects_any_bytes(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "fold0.pkl").write_bytes(content)
        try:
            assert isinstance(read_images_by_class(tmp_path / "fold0.pkl", 80), dict)
        except ValueError as error:
            assert "fold0.pkl: expected " in str(error)


class TestFindSplitFile:
    @pytest.mark.parametrize("folder", ["sets/splits", "sets/data/splits", "data/splits"])
    def test_searches_the_root_and_next_to_it(self, tmp_path: Path, folder: str) -> None:
        (tmp_path / "sets").mkdir()
        file = write_text(tmp_path / folder / "pascal/val/fold0.txt", "2007_000033__01")
        assert find_split_file(tmp_path / "sets", "", "pascal/val/fold0.txt").samefile(file)

    def test_searches_the_folder_in_the_settings(self, tmp_path: Path) -> None:
        file = write_text(tmp_path / "lists/fss/test.txt", "abacus")
        assert find_split_file(tmp_path, str(tmp_path / "lists"), "fss/val.txt", "fss/test.txt") == file

    def test_error_lists_the_searched_places(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"expected a split file at .*/coco/val/fold1\.pkl or .*data/"):
            find_split_file(tmp_path, "", "coco/val/fold1.pkl")
