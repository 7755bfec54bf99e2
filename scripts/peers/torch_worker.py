"""A worker: PyTorch, eager or compiled, in either layout."""

from peers.networks import CLASSES, LEARNING_RATE, MOMENTUM
from peers.protocol import Ready, labels, pixels, serve


def make(task):
    """The network with options ``layout`` and ``compile``."""
    import torch

    from peers.torch_networks import make_network

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    channels_last = task.options["layout"] == "channels-last"
    order = torch.channels_last if channels_last else torch.contiguous_format
    height, width, channels = task.image
    x = torch.tensor(pixels(task)).reshape(task.batch, channels, height, width)
    x, y = x.to(memory_format=order), torch.tensor(labels(task, CLASSES))
    model = make_network(task.network, task.image).to(memory_format=order)
    count = sum(p.numel() for p in model.parameters())
    run = torch.compile(model) if task.options["compile"] else model
    step = _inference(run, x) if task.inference else _training(model, run, x, y)
    return Ready(step, count, {"torch": torch.__version__})


def _inference(run, x):
    import torch

    run.eval()

    def step():
        with torch.inference_mode():
            return run(x)

    return step


def _training(model, run, x, y):
    import torch

    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
    run.train()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(run(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    serve(make)
