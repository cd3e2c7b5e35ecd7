"""TIAToolbox: its `DeepFeatureExtractor` over the whole slide, with its defaults."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from contender import Work, contend, encoder, patch_transform


def prepare(work: Work):
    network, transform = encoder(work), patch_transform(work)
    import zarr
    from PIL import Image
    from tiatoolbox.models.architecture.vanilla import _infer_batch
    from tiatoolbox.models.engine.deep_feature_extractor import DeepFeatureExtractor
    from tiatoolbox.models.models_abc import ModelABC
    from tiatoolbox.wsicore.wsireader import OpenSlideWSIReader

    class Encoder(ModelABC):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pictures):
            return self.network(pictures)

        @staticmethod
        def preproc(image):
            return transform(Image.fromarray(np.asarray(image))).permute(1, 2, 0)

        @staticmethod
        def infer_batch(model, batch_data, *, device="cpu"):
            return [_infer_batch(model, batch_data, device)]

    extractor = DeepFeatureExtractor(Encoder(), verbose=False)

    def run(path: str):
        with tempfile.TemporaryDirectory() as folder:
            written = extractor.run(
                [OpenSlideWSIReader(path)],  # by itself it would load a plain TIFF whole, as a picture
                patch_mode=False,
                input_resolutions=[{"units": "mpp", "resolution": work.mpp}],
                patch_input_shape=(work.patch_px, work.patch_px),
                auto_get_mask=False,
                save_dir=Path(folder) / "out",
                output_type="zarr",
            )
            (place,) = written.values()
            found = zarr.open(str(place), mode="r")
            return np.asarray(found["coordinates"])[:, :2], np.asarray(found["features"])

    return run


if __name__ == "__main__":
    contend(prepare, ("tiatoolbox", "torch", "zarr"))
