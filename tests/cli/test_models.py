"""``cnnjax models``: its lines, and a name that does not exist."""

from cnnjax.cli import main


def test_lists_size_input_weights_and_paper(capsys):
    assert main(["models", "resnet20", "vgg11_bn"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "name parameters mult-adds input weights paper",
        "resnet20 272,474 40.8 M 32x32x3 - arXiv:1512.03385",
        "vgg11_bn 132,868,840 7,609.1 M 224x224x3 torchvision, timm arXiv:1409.1556",
    ]


def test_refuses_a_name_that_does_not_exist(capsys):
    assert main(["models", "resnet19"]) == 2
    assert "unknown model 'resnet19'; did you mean" in capsys.readouterr().err
