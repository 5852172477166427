"""What goes with training: clipping, schedules, confusion matrices, logs."""

import math

import numpy as np
import pytest
from samples import mlp, normal
from tolerances import EXACT, ROUNDED, assert_close

import pynngraph as nn
from pynngraph import errors, optim

# ---- clipping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_long_gradient_becomes_as_long_as_the_limit(dtype):
    gradient = normal(1001).astype(dtype)
    given = gradient.copy()
    norm = optim.clip_by_norm(gradient, 2.0)
    assert norm == pytest.approx(np.linalg.norm(given.astype(float)), rel=1e-6)
    assert np.linalg.norm(gradient) == pytest.approx(2, rel=1e-6)
    assert_close(gradient, (given * (2 / norm)).astype(dtype), ROUNDED)


def test_a_short_gradient_stays():
    gradient = np.array([0.3, -0.4])
    assert optim.clip_by_norm(gradient, 0.5) == 0.5
    assert_close(gradient, np.array([0.3, -0.4]), EXACT)
    assert optim.clip_by_norm(np.zeros(3), 1) == 0
    assert optim.clip_by_norm([], 1) == 0
    assert optim.clip_by_norm(np.zeros(0), 1) == 0


def test_gradients_of_many_arrays_have_one_norm():
    arrays = [np.array([3.0]), np.array([[0.0, 4.0]])]
    assert optim.clip_by_norm(arrays, 1) == 5
    assert_close(np.concatenate([a.ravel() for a in arrays]), np.array([0.6, 0, 0.8]), ROUNDED)


def test_a_net_is_clipped_through_its_parameters():
    net = mlp(3, 3)
    x = normal(8, 3)
    net.forward(x)
    net.backward(x, 100 * x)
    optim.clip_by_norm(net.parameters()[1], 1e-3)
    assert np.linalg.norm(net.getParameters()[1]) == pytest.approx(1e-3)


def test_squares_of_large_gradients_do_not_overflow():
    gradient = np.array([3e30, 4e30], np.float32)
    assert optim.clip_by_norm(gradient, 1) == pytest.approx(5e30)
    assert_close(gradient, np.array([0.6, 0.8], np.float32), ROUNDED)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_no_number_stays_and_is_told(bad):
    gradient = np.array([1.0, bad])
    assert not math.isfinite(optim.clip_by_norm(gradient, 1))
    assert_close(gradient, np.array([1.0, bad]), EXACT)


def test_clipping_by_value_takes_each_element_by_itself():
    arrays = [np.array([3.0, -0.5]), np.array([[-2.0, np.nan]])]
    optim.clip_by_value(arrays, 1)
    assert_close(arrays[0], np.array([1, -0.5]), EXACT)
    assert_close(arrays[1], np.array([[-1, np.nan]]), EXACT)


# ---- schedules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([optim.step_decay(k, 0.1, 30) for k in (0, 29, 30, 60)], [0.1, 0.1, 0.01, 0.001]),
        ([optim.exponential_decay(k, 0.5, 0.9) for k in (0, 1, 10)], [0.5, 0.45, 0.5 * 0.9**10]),
        ([optim.linear_decay(k, 1.0, 10, 0.2) for k in (0, 5, 10, 11)], [1, 0.6, 0.2, 0.2]),
        ([optim.cosine_decay(k, 1.0, 6, 0.2) for k in (0, 2, 3, 6, 9)], [1, 0.8, 0.6, 0.2, 0.2]),
        ([optim.warmup(k, 0.1, 5) for k in (0, 3, 4, 50)], [0.02, 0.08, 0.1, 0.1]),
    ],
    ids=("steps", "exponential", "linear", "cosine", "warmup"),
)
def test_learning_rates_follow_their_formulas(rates, expected):
    assert rates == pytest.approx(expected, rel=1e-14)


# ---- confusion matrices --------------------------------------------------------------------------

COUNTS = np.array([[5, 1, 0], [2, 3, 1], [0, 0, 0]])


def counted(counts, classes=None):
    confusion = optim.ConfusionMatrix(len(counts), classes)
    pairs = [(p, t) for t, row in enumerate(counts) for p, n in enumerate(row) for _ in range(n)]
    confusion.batchAdd(np.array([p for p, _ in pairs]), np.array([t for _, t in pairs]))
    return confusion


def test_predictions_are_counted_by_target():
    assert (counted(COUNTS).mat == COUNTS).all()


ONE_HOT = np.eye(3)


@pytest.mark.parametrize("prediction", [2, np.int64(2), np.array(2), ONE_HOT[2], [0.1, 0.2, 0.7]], ids=str)
@pytest.mark.parametrize("target", [1, np.array(1), ONE_HOT[1]], ids=str)
def test_one_prediction_is_a_class_or_scores(prediction, target):
    confusion = optim.ConfusionMatrix(3)
    confusion.add(prediction, target)
    assert confusion.mat[1, 2] == confusion.mat.sum() == 1


@pytest.mark.parametrize("predictions", [[0, 2], [[0.0], [2.0]], ONE_HOT[[0, 2]]], ids=("classes", "column", "scores"))
@pytest.mark.parametrize("targets", [[1, 2], [[1], [2]], ONE_HOT[[1, 2]]], ids=("classes", "column", "scores"))
def test_a_batch_is_of_classes_or_scores(predictions, targets):
    confusion = optim.ConfusionMatrix(3)
    confusion.batchAdd(predictions, targets)
    assert confusion.mat[1, 0] == confusion.mat[2, 2] == 1
    assert confusion.mat.sum() == 2


def test_targets_below_zero_are_missing():
    confusion = optim.ConfusionMatrix(3)
    confusion.add(1, -1)
    confusion.batchAdd([1, 1], [-1, 1])
    assert confusion.mat.sum() == confusion.mat[1, 1] == 1


def test_shares_are_those_of_torch7():
    """A class without targets has none, and does not count in averages."""
    confusion = counted(COUNTS)
    confusion.updateValids()
    assert_close(confusion.valids, np.array([5 / 6, 1 / 2, np.nan]), ROUNDED)
    assert_close(confusion.unionvalids, np.array([5 / 8, 3 / 7, 0]), ROUNDED)
    assert confusion.averageValid == pytest.approx(2 / 3)
    assert confusion.averageUnionValid == pytest.approx((5 / 8 + 3 / 7) / 2)
    assert confusion.totalValid == pytest.approx(8 / 12)
    confusion.zero()
    assert not confusion.mat.any()
    assert confusion.totalValid == 0
    confusion.updateValids()
    assert math.isnan(confusion.totalValid)
    assert math.isnan(confusion.averageValid)


def test_rates_of_false_rejection_and_acceptance():
    confusion = counted([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    class_frrs, class_fars, frrs, fars = confusion.farFrr()
    assert class_frrs == pytest.approx([0.2, 0.25, -1])
    assert class_fars == pytest.approx([0.25, 0.2, -1])
    assert frrs == pytest.approx([0.2, 0.25])
    assert fars == pytest.approx([0.25, 0.2])
    assert np.isnan(counted([[1, 1], [0, 0]]).farFrr()[3]).all()


def test_a_confusion_matrix_prints_as_torch7_does():
    assert str(counted(COUNTS, ["a", "b", "c"])).splitlines() == [
        "ConfusionMatrix:",
        "[[       5       1       0]   83.333% \t[class: a]",
        " [       2       3       1]   50.000% \t[class: b]",
        " [       0       0       0]]  nan% \t[class: c]",
        " + average row correct: 66.666666666667% ",
        " + average rowUcol correct (VOC measure): 52.678571428571% ",
        " + global correct: 66.666666666667%",
    ]
    assert str(counted([[1]])).splitlines()[1] == "[[       1]]  100.000% "


def test_large_counts_get_wide_columns():
    confusion = optim.ConfusionMatrix(1)
    confusion.mat[...] = 10**9
    assert str(confusion).splitlines()[1] == "[[ 1000000000]]  100.000% "


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.add(3, 0), errors.DataError),
        (lambda c: c.add(0, 3), errors.DataError),
        (lambda c: c.add(-1, 0), errors.DataError),
        (lambda c: c.add(np.zeros((2, 3)), 0), errors.ShapeError),
        (lambda c: c.batchAdd([0, 1], [0]), errors.ShapeError),
        (lambda c: c.batchAdd(np.zeros((2, 3, 1)), [0, 1]), errors.ShapeError),
    ],
)
def test_what_is_no_class_is_refused_and_nothing_is_counted(call, error):
    confusion = optim.ConfusionMatrix(3)
    with pytest.raises(error, match="ConfusionMatrix"):
        call(confusion)
    assert not confusion.mat.any()


def test_names_are_as_many_as_classes():
    assert optim.ConfusionMatrix(["a", "b"]).nclasses == 2
    with pytest.raises(errors.ShapeError, match="3 classes got 2 names"):
        optim.ConfusionMatrix(3, ["a", "b"])


@pytest.mark.parametrize(("mode", "labels"), [("score", ["b", "a", "c"]), ("occurrence", ["a", "b", "c"])])
def test_a_confusion_matrix_is_drawn_with_the_first_class_on_top(mode, labels):
    pytest.importorskip("matplotlib")
    axes = counted([[5, 4, 0], [0, 3, 0], [0, 0, 0]], ["a", "b", "c"]).render(mode).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == labels
    shares = axes.images[0].get_array()
    assert shares[0, 0] == pytest.approx(1 if mode == "score" else 5 / 9)
    assert [text.get_text() for text in axes.texts][:3] == (
        ["100", "00", "00"] if mode == "score" else ["56", "44", "00"]
    )
    assert axes.get_title() == "66.667 % right, 77.778 % by class"


def test_a_confusion_matrix_without_names_is_drawn_with_numbers():
    pytest.importorskip("matplotlib")
    axes = counted(COUNTS).render().axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]
    with pytest.raises(errors.DataError, match="sortmode"):
        counted(COUNTS).render("size")


# ---- logs ----------------------------------------------------------------------------------------


def test_a_log_is_written_as_torch7_writes_it(tmp_path):
    path = tmp_path / "logs" / "train.log"
    with optim.Logger(path) as logger:
        logger.setNames(["train", "note"])
        logger.add([70, "first"])
        logger.add({"note": "second", "train": np.float32(-0.5)})
        assert path.read_text().splitlines() == ["train\tnote\t", " 7.0000e+01\tfirst\t", "-5.0000e-01\tsecond\t"]
    assert logger.file.closed


def test_a_log_takes_its_names_from_the_first_row(capsys):
    logger = optim.Logger()
    logger.add({"a": 1, "b": 2})
    unnamed = optim.Logger()
    unnamed.add([1, 2])
    logger.close()
    assert capsys.readouterr().out == "a\tb\t\n 1.0000e+00\t 2.0000e+00\t\n0\t1\t\n 1.0000e+00\t 2.0000e+00\t\n"
    assert logger.symbols == {"a": [1], "b": [2]}


def test_a_log_may_have_the_time_in_its_name(tmp_path):
    with optim.Logger(tmp_path / "log", True) as logger:
        logger.add([1])
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("log-20")
    assert logger.epsfile == str(tmp_path / "log.eps")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda log: log.add([1]), errors.StructureError, "2 columns, got 1"),
        (lambda log: log.add({"a": 1}), errors.StructureError, r"\['a', 'b'\], got \['a'\]"),
        (lambda log: log.add({"a": 1, "c": 2}), errors.StructureError, "no column 'c'"),
        (lambda log: log.add([1, None]), errors.DataError, "got NoneType for 'b'"),
        (lambda log: log.setNames(["a"]), errors.StateError, "columns"),
        (lambda log: log.style({"c": "-"}), errors.StructureError, "no column 'c'"),
        (lambda log: log.plot("c"), errors.StructureError, "no column 'c'"),
    ],
)
def test_rows_unlike_the_columns_are_refused(call, error, text, capsys):
    logger = optim.Logger().setNames(["a", "b"])
    capsys.readouterr()
    with pytest.raises(error, match=text):
        call(logger)
    assert capsys.readouterr().out == ""
    assert logger.symbols == {"a": [], "b": []}


def test_a_log_is_plotted_column_by_column(tmp_path):
    pytest.importorskip("matplotlib")
    with optim.Logger(tmp_path / "log") as logger:
        logger.setNames(["a", "b", "note"])
        for k in range(1, 5):
            logger.add([k * k, 1 / k, "text"])
        logger.style({"a": ["-", "|"], "b": "~"}).setlogscale()
        axes = logger.plot().axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == ["a", "b"]
    assert lines["a"].get_ydata() == pytest.approx([1, 4, 9, 16])
    assert lines["a"].get_xdata() == pytest.approx([1, 2, 3, 4])
    assert lines["a"].get_linestyle() == "-"
    assert [bar.get_height() for bar in axes.patches] == [1, 4, 9, 16]
    assert lines["b"].get_ydata()[::16] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert axes.get_yscale() == "log"
    assert (tmp_path / "log.eps").read_bytes().startswith(b"%!PS")


@pytest.mark.parametrize(
    ("style", "marker", "line"), [("+", "+", "None"), (".", ",", "None"), ("+-", "+", "-"), ("o:", "o", ":")]
)
def test_styles_are_torch7s_and_matplotlibs(style, marker, line, capsys):
    pytest.importorskip("matplotlib")
    logger = optim.Logger()
    logger.add([1])
    logger.add([2])
    (drawn,) = logger.style([style]).plot("0").axes[0].lines
    assert drawn.get_marker() == marker
    assert drawn.get_linestyle() == line


def test_a_smooth_line_of_a_cubic_is_the_cubic_and_of_one_point_the_point(capsys):
    pytest.importorskip("matplotlib")
    logger = optim.Logger()
    logger.add({"y": 3})
    assert logger.style({"y": "~"}).plot("y").axes[0].lines[0].get_ydata() == pytest.approx([3])
    for k in range(1, 9):
        logger.add({"y": 3 + k + k * k})
    line = logger.plot("y").axes[0].lines[0]
    inner = (line.get_xdata() >= 2) & (line.get_xdata() <= 8)  # slopes at the ends are of one side
    k = line.get_xdata()[inner] - 1
    assert line.get_ydata()[inner] == pytest.approx(3 + k + k * k)


def test_a_plot_of_nothing_is_empty():
    pytest.importorskip("matplotlib")
    figure = optim.Logger().plot()
    assert not figure.axes[0].lines
    assert figure.axes[0].get_title() == "<Logger::stdout>"


def test_a_log_follows_training(tmp_path):
    net, criterion = mlp(3, 3), nn.MSECriterion()
    x = normal(8, 3)
    flat, grad = net.getParameters()

    def feval(_):
        net.zeroGradParameters()
        loss = criterion.forward(net.forward(x), x)
        net.backward(x, criterion.backward(net.output, x))
        optim.clip_by_norm(grad, 1)
        return loss, grad

    with optim.Logger(tmp_path / "log") as logger:
        for epoch in range(50):
            config = {"learningRate": optim.cosine_decay(epoch, 0.5, 50)}
            _, losses = optim.sgd(feval, flat, config)
            logger.add({"loss": losses[0]})
    assert logger.symbols["loss"][-1] < 0.5 * logger.symbols["loss"][0]
    assert len((tmp_path / "log").read_text().splitlines()) == 51
