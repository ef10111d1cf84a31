"""Models in files: what is saved comes back, what is damaged is refused, nothing is half-written."""

import json
import os
import stat
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import chainrule as cr
from chainrule import nn
from chainrule.errors import DataError, FileError, OptionError
from chainrule.interop.safetensors import load, read_state, save

X = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)


def network():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.LeakyReLU(0.2),
        nn.Residual(nn.Sequential(nn.Linear(8, 8, bias=False), nn.Softmax(axis=-1), nn.Dropout(0.25))),
        nn.ELU(0.5),
        nn.Linear(8, 2),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_comes_back(tmp_path, dtype):
    model = network().astype(dtype).eval()
    cr.save(model, tmp_path / "m.safetensors")
    twin = cr.load(str(tmp_path / "m.safetensors")).eval()
    assert repr(twin) == repr(model)
    assert {p.dtype for p in twin.parameters()} == {np.dtype(dtype)}
    np.testing.assert_array_equal(twin(X).data, model(X).data)


def test_other_software_reads_the_weights(tmp_path):
    model = network()
    cr.save(model, tmp_path / "m.safetensors")
    arrays = load_file(tmp_path / "m.safetensors")
    assert sorted(arrays) == sorted(model.named_parameters())
    np.testing.assert_array_equal(arrays["1.weight"], model[1].weight.data)
    assert arrays["1.weight"].dtype == np.float32


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = network()
    for name in ("a", "b"):
        cr.save(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_layer_used_twice_is_one_layer_again(tmp_path):
    shared = nn.Linear(3, 3)
    cr.save(nn.Sequential(shared, nn.Tanh(), nn.Residual(nn.Sequential(shared))), tmp_path / "m")
    twin = cr.load(tmp_path / "m")
    assert twin[2].body[0] is twin[0]
    assert list(twin.named_parameters()) == ["0.weight", "0.bias"]


def test_a_model_without_weights(tmp_path):
    cr.save(nn.Sequential(), tmp_path / "m")
    assert repr(cr.load(tmp_path / "m")) == "Sequential()"


def test_loading_draws_nothing_from_the_default_generator(tmp_path):
    cr.save(network(), tmp_path / "m")
    cr.seed(0)
    expected = nn.Linear(2, 2).state_dict()
    cr.seed(0)
    cr.load(tmp_path / "m")
    np.testing.assert_array_equal(nn.Linear(2, 2).weight.data, expected["weight"])


class Own(nn.Module):
    def __init__(self):
        self.inner = nn.Linear(3, 2)

    def forward(self, x):
        return self.inner(x)


class ReLU(nn.Module):
    """A class of the user's own with the name of a layer."""

    def forward(self, x):
        return x


@pytest.mark.parametrize(("model", "name"), [(Own(), "Own"), (nn.Sequential(nn.Linear(3, 2), ReLU()), "Sequential")])
def test_own_classes_are_loaded_by_hand(tmp_path, model, name):
    path = tmp_path / "m.safetensors"
    cr.save(model, path)
    with pytest.raises(DataError, match=rf"{name}.* not part of chainrule.*load_state_dict"):
        cr.load(path)
    before = model.state_dict()
    for parameter in model.parameters():
        parameter.data[...] = 0
    model.load_state_dict(read_state(path))
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        cr.load(tmp_path / "none.safetensors")
    with pytest.raises(FileError, match="cannot be read"):
        cr.load(tmp_path)


def test_damaged_files(tmp_path):
    path = tmp_path / "m.safetensors"
    cr.save(network(), path)
    whole = path.read_bytes()
    for data in (b"", whole[:5], whole[:100], whole[:-1], b"PK" + whole, b"text, not a model"):
        path.write_bytes(data)
        with pytest.raises(DataError, match="not a complete safetensors file"):
            cr.load(path)


@pytest.mark.parametrize(
    "note",
    [
        "{",
        "[]",
        json.dumps({"format": 2}),
        json.dumps({"format": 1, "architecture": {"type": "Own"}}),
        json.dumps({"format": 1, "architecture": {"type": "Module", "config": {}}}),
        json.dumps({"format": 1, "architecture": {"type": "Linear", "config": {"in_features": 3}}}),
        json.dumps({"format": 1, "architecture": {"type": "Linear", "config": {"in_features": 3, "out_features": 0}}}),
        json.dumps({"format": 1, "architecture": {"type": "Linear", "config": {"in_features": 9, "out_features": 2}}}),
        json.dumps({"format": 1, "architecture": {"same": "0"}}),
        json.dumps({"format": 1, "architecture": 7}),
    ],
)
def test_foreign_descriptions(tmp_path, note):
    path = tmp_path / "m.safetensors"
    save_file(nn.Linear(3, 2).state_dict(), path, {"chainrule": note})
    with pytest.raises(DataError, match=r"m\.safetensors"):
        cr.load(path)


def test_arrays_of_other_software(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"w": np.ones(3, np.float32)}, path)
    with pytest.raises(DataError, match="no chainrule model"):
        cr.load(path)
    assert read_state(path)["w"].tolist() == [1.0, 1.0, 1.0]


def test_an_array_that_numpy_cannot_hold(tmp_path):
    path = tmp_path / "m.safetensors"
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(DataError, match=r"NumPy does not support.*float32"):
        read_state(path)


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    cr.save(nn.Linear(2, 2), path)
    old = path.read_bytes()

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left"):
        cr.save(network(), path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_places_that_cannot_be_written(tmp_path):
    for path in (tmp_path / "no" / "m", tmp_path):
        with pytest.raises(FileError, match="cannot be written"):
            cr.save(network(), path)
    assert os.listdir(tmp_path) == []
    with pytest.raises(OptionError, match="model first"):
        cr.save("m.safetensors", network())


def test_rights_follow_the_user_s_mask(tmp_path):
    before = os.umask(0o022)
    try:
        cr.save(nn.Linear(2, 2), tmp_path / "m")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o644


def with_architecture(path, architecture):
    """A file of one number whose metadata describe some model."""
    note = json.dumps({"format": 1, "class": "Sequential", "architecture": architecture})
    save_file({"0.weight": np.zeros((1, 1), np.float32)}, path, {"chainrule": note})
    return path


def linear(size):
    return {"type": "Linear", "config": {"in_features": size, "out_features": size, "bias": True}}


def test_a_small_file_cannot_ask_for_much_memory(tmp_path):
    for size in (20_000, 10**6, 10**12, 10**20):
        path = with_architecture(tmp_path / "m", {"type": "Sequential", "inside": {"0": linear(size)}})
        tracemalloc.start()
        with pytest.raises(DataError, match="save it again"):
            cr.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()


def test_more_or_deeper_layers_than_a_network_has_are_refused(tmp_path):
    many = {"type": "Sequential", "inside": {str(i): {"type": "ReLU", "config": {}} for i in range(20_000)}}
    deep = {"type": "ReLU", "config": {}}
    for _ in range(101):
        deep = {"type": "Sequential", "inside": {"0": deep}}
    for architecture in (many, deep):
        with pytest.raises(DataError, match="more than 10,000 layers, or more than 100 nested in each other"):
            cr.load(with_architecture(tmp_path / "m", architecture))


def test_nesting_too_deep_for_json_is_refused(tmp_path):
    text = '{"format": 1, "architecture": ' + "[" * 100_000 + "]" * 100_000 + "}"
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "m", {"chainrule": text})
    with pytest.raises(DataError, match="description of the model: damaged, it is nested too deeply"):
        cr.load(tmp_path / "m")


def test_a_model_too_deep_for_a_file_is_refused_before_anything_is_written(tmp_path):
    model = nn.Linear(2, 2)
    for _ in range(150):
        model = nn.Sequential(model)
    with pytest.raises(OptionError, match="150 deep"):
        cr.save(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_layers_shared_many_times_over_are_saved_once(tmp_path):
    shared = nn.Linear(2, 2)
    model = shared
    for _ in range(22):
        model = nn.Sequential(model, model)
    cr.save(model, tmp_path / "m")
    assert (tmp_path / "m").stat().st_size < 10_000
    twin = cr.load(tmp_path / "m")
    assert len(twin.named_modules()) == 23
    assert repr(twin).count("the same as") == 22
    np.testing.assert_array_equal(twin.parameters()[0].data, shared.weight.data)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_regular_files_are_read(tmp_path, kind):
    path = tmp_path / "m"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(FileError, match="is not a regular file"):
        cr.load(path)


@pytest.mark.parametrize("path", [None, 3, nn.Linear(2, 2)])
def test_a_path_that_is_none_is_refused(path):
    for call in (load, read_state, lambda path: save(nn.Linear(2, 2), path)):
        with pytest.raises(OptionError, match=r"path is .*, expected the name of a file"):
            call(path)
