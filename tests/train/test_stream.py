"""A model in use step by step."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import LabelError, NonFiniteError, OptionError, ShapeError
from chainrule.kernels.sampling import draw

ENGINES = ["compiled", "reference"]


def series(seed: int = 0, sequences: int = 3, steps: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(sequences, steps, 4)).astype(np.float32)


def writer(tokens: int = 11) -> nn.Sequential:
    cr.seed(3)
    return nn.Sequential(nn.Embedding(tokens, 5), nn.LSTM(5, 8), nn.Linear(8, tokens))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", [nn.RNN, nn.LSTM, nn.GRU])
def test_stretches_of_any_length_give_what_the_whole_sequence_gives(cell: type[nn.Module], engine: str) -> None:
    model = nn.Sequential(cell(4, 7, num_layers=2, dropout=0.5), nn.Linear(7, 2)).eval()
    x, stream = series(), cr.Stream(model, engine=engine)
    parts = [stream(x[:, start:end]) for start, end in ((0, 1), (1, 2), (2, 7), (7, 12))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), model(x).data, atol=1e-6)
    stream.reset()
    np.testing.assert_allclose(stream(x), model(x).data, atol=1e-6)


def test_weights_changed_since_the_last_step_are_used() -> None:
    model = nn.Sequential(nn.GRU(4, 7), nn.Linear(7, 2))
    stream, x = cr.Stream(model), series()
    stream(x)
    stream.reset()
    model[1].weight.data[...] = 0.0
    np.testing.assert_allclose(stream(x), np.broadcast_to(model[1].bias.data, (3, 12, 2)), atol=1e-7)


def test_a_trainer_and_a_stream_share_a_model() -> None:
    model = nn.Sequential(nn.RNN(4, 7), nn.Linear(7, 2))
    trainer = cr.Trainer(model, nn.MSELoss(), cr.optim.SGD(lr=0.1))
    stream, x = cr.Stream(model), series()
    for _ in range(3):
        trainer.step(x, np.zeros((3, 12, 2), np.float32))
        stream.reset()
        np.testing.assert_allclose(stream(x), trainer.predict(x), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"temperature": 2.0, "top_k": 3}, {"temperature": 0.0}])
def test_both_engines_write_the_same_and_go_on_alike(options: dict[str, float]) -> None:
    model = writer()
    texts = []
    for engine in ENGINES:
        stream = cr.Stream(model, engine=engine)
        first = stream.generate([[1, 2, 3], [4, 5, 6]], 70, seed=9, **options)
        texts.append(np.concatenate([first, stream.generate(first[:, -1:], 5, seed=9, **options)], axis=1))
    assert texts[0].shape == (2, 75)
    np.testing.assert_array_equal(*texts)


def test_the_most_likely_text_follows_the_model() -> None:
    model = writer()
    text = cr.Stream(model).generate([[1, 2]], 10, temperature=0)
    whole = np.concatenate([[[1, 2]], text], axis=1)
    np.testing.assert_array_equal(model(whole).data.argmax(axis=-1)[:, 1:-1], text)


def test_seeds_decide_and_tokens_are_drawn_by_their_probability() -> None:
    stream = cr.Stream(writer())
    texts = []
    for seed in (1, 1, 2):
        stream = cr.Stream(writer())
        texts.append(stream.generate([[0]], 50, seed=seed).tolist())
    assert texts[0] == texts[1] != texts[2]
    logits = np.tile(np.log([0.5, 0.3, 0.2]).astype(np.float32), (4, 1))
    drawn = np.concatenate([draw(logits, step, 0, 1.0, 0) for step in range(5000)])
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), [0.5, 0.3, 0.2], atol=0.01)
    among = np.concatenate([draw(logits, step, 0, 1.0, 2) for step in range(5000)])
    np.testing.assert_allclose(np.bincount(among) / len(among), [0.625, 0.375], atol=0.01)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(OptionError, match="bidirectional layer needs the whole sequence"):
        cr.Stream(nn.LSTM(4, 3, bidirectional=True))(series())
    stream = cr.Stream(nn.Sequential(nn.GRU(4, 7), nn.Linear(7, 2)))
    stream(series())
    with pytest.raises(ShapeError, match="2 sequences, those of the calls before were 3"):
        stream(series(sequences=2))
    broken = nn.Sequential(nn.GRU(4, 7), nn.Linear(7, 2))
    broken[1].weight.data[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="row 0"):
        cr.Stream(broken)(series())
    with pytest.raises(OptionError, match=r"expected an nn\.Module"):
        cr.Stream("model")  # type: ignore[arg-type]
    texts = cr.Stream(writer())
    with pytest.raises(LabelError, match="11"):
        texts.generate([[1, 11]], 5)
    with pytest.raises(ShapeError, match="at least one token"):
        texts.generate(np.zeros((1, 0), int), 5)
    for wrong in ({"temperature": -1.0}, {"temperature": float("nan")}, {"top_k": 0}):
        with pytest.raises(OptionError):
            texts.generate([[1]], 5, **wrong)
    with pytest.raises(ShapeError, match=r"expected \(n, 1, tokens\)"):
        cr.Stream(nn.Sequential(nn.Embedding(4, 3), nn.Flatten())).generate([[1]], 5)


def test_steps_are_not_lost_while_streams_of_the_same_model_write_in_other_threads() -> None:
    x = np.arange(120).reshape(12, 10) % 11

    def trained(streams: int) -> list[float]:
        model, done = writer(), threading.Event()
        trainer = cr.Trainer(model, nn.CrossEntropyLoss(), cr.optim.Adam(lr=0.01))

        def write() -> None:
            stream = cr.Stream(model)
            while not done.is_set():
                stream.generate([[1]], 3)
                written.release()

        written = threading.Semaphore(0)
        threads = [threading.Thread(target=write) for _ in range(streams)]
        for thread in threads:
            thread.start()
        losses = []
        try:
            for _ in range(15):
                for _ in threads:
                    written.acquire()
                losses.append(trainer.step(x, (x + 1) % 11))
        finally:
            done.set()
            for thread in threads:
                thread.join()
        return losses

    assert trained(2) == trained(0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nothing_is_drawn_from_outputs_that_are_not_finite(engine: str, wrong: float) -> None:
    model = writer()
    model[2].bias.data[3] = wrong
    stream = cr.Stream(model, engine=engine)
    with pytest.raises(NonFiniteError, match="reset the stream, or check its weights"):
        stream.generate([[1], [2]], 5)
    model[2].bias.data[3] = 0.0
    stream.reset()
    assert stream.generate([[1], [2]], 5).tolist() == cr.Stream(model).generate([[1], [2]], 5).tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_that_could_write_tokens_it_does_not_take_is_refused(engine: str) -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.GRU(4, 8), nn.Linear(8, 6))
    with pytest.raises(ShapeError, match=r"6 outputs, but takes the tokens 0 \.\. 4: give its last layer"):
        cr.Stream(model, engine=engine).generate([[1]], 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_number_of_sequences_may_change_after_a_reset_and_after_a_call_that_failed(engine: str) -> None:
    model = nn.Sequential(nn.GRU(4, 7), nn.Linear(7, 2)).eval()
    stream = cr.Stream(model, engine=engine)
    with pytest.raises(ShapeError, match="x has shape"):
        stream(series(sequences=5)[..., :3])
    for sequences in (3, 2, 3):
        x = series(sequences=sequences)
        stream(x)
        stream.reset()
        np.testing.assert_allclose(stream(x), model(x).data, atol=1e-6)
        with pytest.raises(ShapeError, match="reset the stream"):
            stream(series(sequences=4))
        stream.reset()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stream_of_a_model_with_other_parameters_is_refused_until_there_is_another(engine: str) -> None:
    model = nn.Sequential(nn.GRU(4, 7), nn.Linear(7, 2)).eval()
    stream = cr.Stream(model, engine=engine)
    stream(series())
    model[1].weight = nn.Parameter(np.ones((7, 2), np.float32))
    for _ in range(2):
        with pytest.raises(OptionError, match="make another Stream"):
            stream(series())
    np.testing.assert_allclose(cr.Stream(model, engine=engine)(series()), model(series()).data, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_frozen_models_and_stretches_without_steps(engine: str) -> None:
    model = nn.Sequential(nn.GRU(4, 7), nn.Linear(7, 2)).eval()
    for parameter in model.parameters():
        parameter.requires_grad = False
    stream = cr.Stream(model, engine=engine)
    assert stream(series(steps=0)).shape == (3, 0, 2)
    np.testing.assert_allclose(stream(series()), model(series()).data, atol=1e-6)


def test_a_stream_cannot_be_copied_or_called_from_within() -> None:
    class Caller(nn.Module):
        def __init__(self) -> None:
            self.inner, self.stream = nn.GRU(4, 7), None

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            if self.stream is not None:
                self.stream(series())
            return self.inner(x)[0]

    model = Caller()
    stream = cr.Stream(model)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(OptionError, match="cannot be copied or pickled"):
            copied(stream)
    model.stream = stream
    with pytest.raises(OptionError, match="from within"):
        stream(series())
