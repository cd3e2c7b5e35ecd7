"""What stands in for a GPU: decoders of JPEG that run on the processor, and a network's device side."""

import imagecodecs
import torch

from napari_aln.workflows.slide import networks


class StandIn:
    """Decodes as imagecodecs does."""

    name = "stand-in"
    device = "cpu"

    def __init__(self):
        self.batches = []

    def __call__(self, streams, *, stores_rgb):
        self.batches.append(len(streams))
        return [self.decode(stream, stores_rgb) for stream in streams]

    def decode(self, stream, stores_rgb):
        try:
            pixels = imagecodecs.jpeg_decode(
                stream, colorspace="rgb" if stores_rgb else "ycbcr", outcolorspace="rgb"
            )
        except (imagecodecs.Jpeg8Error, ValueError):
            return None
        return torch.from_numpy(pixels)


class Blind(StandIn):
    """Takes no tile."""

    def decode(self, stream, stores_rgb):
        return None


class Full(StandIn):
    """Has memory for the sample, and then no more."""

    def __call__(self, streams, *, stores_rgb):
        if self.batches:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().__call__(streams, stores_rgb=stores_rgb)


class ColourBlind(StandIn):
    """Takes red, green and blue for Y, Cb and Cr."""

    def decode(self, stream, stores_rgb):
        return super().decode(stream, False)


class DeviceNetwork:
    """What runs on CUDA, without CUDA: the device's preparation, then the network."""

    device = "cuda"

    def __init__(self, bundle):
        self.network = bundle.network()
        self.prepare = networks._resize_on_device(bundle.card.input_px)
        self.kinds = set()

    @torch.inference_mode()
    def __call__(self, batch):
        assert batch.shape[1:] == (256, 256, 3)  # as read
        self.kinds.add(type(batch))
        prepared, entropy = self.prepare(torch.as_tensor(batch))
        h, e = self.network(prepared)
        return h.numpy(), e.numpy(), entropy.float().numpy()
