"""JPEG decoded on the device: the whole path on the processor, with a stand-in for the device's decoder."""

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from tests_shared import MPP, drain

from napari_aln import open_slide
from napari_aln.errors import DeviceError, SlideError
from napari_aln.geometry import Rect
from napari_aln.mil.bundle import open_bundle
from napari_aln.patches.grid import patch_grid
from napari_aln.records import PatchTable
from napari_aln.runtimes.choice import Choice
from napari_aln.settings import EngineSettings
from napari_aln.slides import read_patch
from napari_aln.store.features import FeatureCache
from napari_aln.workflows import device_patches as module
from napari_aln.workflows import networks
from napari_aln.workflows import predict as job
from napari_aln.workflows.decode import decoded, join_pixels
from napari_aln.workflows.device_patches import device_patches
from napari_aln.workflows.extract import Want, extract

SIZE_PX = (701, 533)  # six by five tiles of 128 px, none whole at the right and lower edge


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


def texture(seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 255, (SIZE_PX[1] // 8 + 1, SIZE_PX[0] // 8 + 1, 3), np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)[: SIZE_PX[1], : SIZE_PX[0]]


def write(path, rgb=None, **keywords):
    options = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb"} | keywords
    resolution = {"resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, texture() if rgb is None else rgb, metadata=None, **resolution, **options)
    return path


def with_shared_tables(path):
    """Write a TIFF whose tiles are abbreviated JPEGs of red, green and blue, as scanners write them."""
    rgb = np.pad(texture(), ((0, 640 - SIZE_PX[1]), (0, 768 - SIZE_PX[0]), (0, 0)))
    tables, segments = b"", []
    for row in range(5):
        for column in range(6):
            tile = np.ascontiguousarray(rgb[row * 128 :, column * 128 :][:128, :128])
            jpeg = imagecodecs.jpeg_encode(tile, level=90, colorspace=2, outcolorspace=2, subsampling="444")
            tables, segment = split_tables(jpeg)
            segments.append(segment)
    tifffile.imwrite(
        path,
        iter(segments),
        shape=(*SIZE_PX[::-1], 3),
        dtype=np.uint8,
        tile=(128, 128),
        photometric="rgb",
        compression="jpeg",
        jpegtables=tables,
        resolution=(1e4 / MPP, 1e4 / MPP),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["PhotometricInterpretation"].overwrite(
            2
        )  # tifffile takes all colour JPEG for YCbCr
    return path


def split_tables(jpeg):
    """Move a JPEG's tables into a stream of their own; nothing that is left tells its colours."""
    tables, rest, at = b"", b"", 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        part = bytearray(jpeg[at : at + 2 + length])
        at += 2 + length
        if marker in (0xDB, 0xC4):  # quantization and Huffman tables
            tables += part
        elif marker == 0xC0:  # frame: number the components instead of naming them R, G and B
            part[10::3] = range(3)
            rest += part
        elif marker == 0xDA:  # scan, then data
            part[5:11:2] = range(3)
            return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + rest + part + jpeg[at:]


@pytest.fixture(params=["plain", "ome", "tables"])
def slide(request, tmp_path):
    """Return the same picture through OpenSlide's fast path, through tifffile, and as abbreviated JPEGs."""
    path = tmp_path / ("a.ome.tif" if request.param == "ome" else "a.tif")
    if request.param == "tables":
        with_shared_tables(path)
    elif request.param == "ome":
        about = {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP, "axes": "YXS"}
        with tifffile.TiffWriter(path, ome=True) as tiff:
            tiff.write(texture(), tile=(128, 128), compression="jpeg", photometric="rgb", metadata=about)
    else:
        write(path)
    with open_slide(path) as opened:
        yield opened


PLACES = {
    "on tiles": [Rect(0, 0, 128, 128), Rect(256, 128, 128, 128)],
    "across tiles": [Rect(100, 60, 128, 128), Rect(311, 399, 128, 128)],
    "edge tiles": [Rect(573, 405, 128, 128)],
    "over the edge": [Rect(-30, -40, 128, 128), Rect(650, 500, 128, 128)],
    "outside": [Rect(900, 900, 128, 128), Rect(-500, 20, 128, 128)],
    "far apart": [Rect(0, 0, 128, 128), Rect(573, 0, 128, 128), Rect(0, 405, 128, 128)],
}
RESAMPLED = {
    "coarser": [Rect(10, 20, 256.5, 256.5), Rect(266.5, 200.25, 256.5, 256.5)],
    "twice": [Rect(4, 6, 256, 256)],
    "finer": [Rect(33.3, 41.7, 100.2, 100.2)],
    "shifted": [Rect(10.5, 20.25, 128, 128), Rect(138.5, 20.25, 128, 128)],
    "differs in x and y": [Rect(10.1, 20.2, 200.7, 150.1)],
    "over the edge": [Rect(-20.3, 500.2, 150.5, 150.5), Rect(640.1, -9.9, 150.5, 150.5)],
    "a smaller one at the end of a tile": [Rect(0.75, 0.75, 130.5, 130.5), Rect(253, 253, 130.5, 130.5)],
    "some aligned": [Rect(0, 0, 130.5, 130.5), Rect(130.5, 130.5, 130.5, 130.5)],
}


def both(slide, places):
    patches = device_patches(slide, (places[0].width / 128, places[0].height / 128), StandIn())
    ours = patches.read(places, 128).numpy()
    return ours, np.stack([read_patch(slide, place, 128) for place in places])


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
def test_patches_on_whole_pixels_equal_the_readers(slide, places):
    ours, theirs = both(slide, places)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("places", RESAMPLED.values(), ids=RESAMPLED)
def test_resampled_patches_equal_the_readers(slide, places):
    ours, theirs = both(slide, places)
    np.testing.assert_array_equal(ours, theirs)


def test_tiles_of_a_chunk_are_decoded_in_one_call_and_once(slide):
    decoder = StandIn()
    patches = device_patches(slide, (1.0, 1.0), decoder)
    patches.read([Rect(100, 0, 128, 128), Rect(120, 0, 128, 128), Rect(140, 0, 128, 128)], 128)
    assert decoder.batches == [1, 3]  # the sample; then tiles 0, 1 and 2 of the first row


def test_a_lower_level_is_read_where_it_serves(tissue_slide):
    with open_slide(tissue_slide) as slide:
        patches = device_patches(slide, (2.0, 2.0), StandIn())
        places = [Rect(600, 500, 512, 512), Rect(1001, 777, 512, 512)]
        theirs = np.stack([read_patch(slide, place, 256) for place in places])
        np.testing.assert_array_equal(patches.read(places, 256), theirs)
        assert patches.read([Rect(0, 0, 256, 256)], 256) is None  # made of another level


@pytest.mark.parametrize(
    "keywords",
    [
        {"compression": "deflate"},
        {"compression": "jpeg", "tile": None, "rowsperstrip": 64},
        {"compression": "jpeg", "planarconfig": "separate"},
    ],
    ids=["deflate", "strips", "planes"],
)
def test_what_is_no_plain_jpeg_stays_on_the_processor(tmp_path, keywords):
    with open_slide(write(tmp_path / "a.tif", **keywords)) as slide:
        assert device_patches(slide, (1.0, 1.0), StandIn()) is None


def test_grey_jpeg_and_other_readers_stay_on_the_processor(tmp_path):
    tifffile.imwrite(tmp_path / "grey.tif", texture()[..., 0], tile=(128, 128), compression="jpeg")
    imagecodecs.imwrite(str(tmp_path / "flat.jpg"), texture())
    for name in ("grey.tif", "flat.jpg"):
        with open_slide(tmp_path / name) as slide:
            assert device_patches(slide, (1.0, 1.0), StandIn()) is None


def test_a_missing_tile_stays_on_the_processor(tmp_path):
    path = write(tmp_path / "a.ome.tif")
    set_byte_count(path, 7, 0)
    with open_slide(path) as slide:
        assert device_patches(slide, (1.0, 1.0), StandIn()) is None


def test_a_decoder_that_mistakes_colours_is_not_used(tmp_path):
    with open_slide(with_shared_tables(tmp_path / "a.tif")) as slide:
        assert device_patches(slide, (1.0, 1.0), StandIn()) is not None
        assert device_patches(slide, (1.0, 1.0), ColourBlind()) is None


def test_a_decoder_that_takes_no_tile_is_not_used(slide):
    assert device_patches(slide, (1.0, 1.0), Blind()) is None


def test_the_sample_is_the_tile_with_the_most_bytes(tmp_path):
    rgb = texture()
    rgb[:128] = rgb[:, :128] = 200  # the first tiles are of one grey
    path = write(tmp_path / "a.tif", rgb=rgb)
    with open_slide(path) as slide:
        column, row = slide.encoded_level(0).fullest
        assert segment_of(path, row * 6 + column)[1] == max(segment_of(path, index)[1] for index in range(30))
        assert (column, row) != (0, 0)


def test_without_a_decoder_the_processor_decodes(slide, monkeypatch):
    module._shared_decoder.cache_clear()
    monkeypatch.setattr(module, "installed", lambda: False)
    assert device_patches(slide, (1.0, 1.0)) is None
    module._shared_decoder.cache_clear()

    def fails():
        raise DeviceError("nvImageCodec cannot be used: no driver.", "Update it.")

    monkeypatch.setattr(module, "installed", lambda: True)
    monkeypatch.setattr(module, "NvImageCodec", fails)
    assert device_patches(slide, (1.0, 1.0)) is None
    module._shared_decoder.cache_clear()


def segment_of(path, index):
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return page.dataoffsets[index], page.databytecounts[index]


def set_byte_count(path, index, value):
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page = tiff.pages[0]
        counts = list(page.databytecounts)
        counts[index] = value
        page.tags["TileByteCounts"].overwrite(counts)


def damage(path, index):
    """Overwrite the head of a tile."""
    offset, _ = segment_of(path, index)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(60))


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_a_damaged_tile_is_told_with_the_file_and_spares_the_others(tmp_path, name):
    path = write(tmp_path / name)
    with open_slide(path) as slide:
        patches = device_patches(slide, (1.0, 1.0), StandIn())
        damage(path, 14)  # the third tile of the third row
        with pytest.raises(SlideError) as told:
            patches.read([Rect(0, 0, 128, 128), Rect(300, 300, 128, 128)], 128)
        assert name in told.value.fact
        whole = [Rect(0, 0, 128, 128)]
        np.testing.assert_array_equal(patches.read(whole, 128)[0], read_patch(slide, whole[0], 128))


def cut_end(path, index):
    """Overwrite the end marker of a tile."""
    offset, count = segment_of(path, index)
    with path.open("r+b") as file:
        file.seek(offset + count - 2)
        file.write(b"\x12\x34")


def test_a_jpeg_without_its_end_is_told(tmp_path):
    path = write(tmp_path / "a.ome.tif")
    with open_slide(path) as slide:
        patches = device_patches(slide, (1.0, 1.0), StandIn())
        cut_end(path, 14)
        with pytest.raises(SlideError, match="has no end"):
            patches.read([Rect(300, 300, 128, 128)], 128)


def test_openslide_has_the_last_word_on_a_jpeg_without_its_end(tmp_path):
    path = write(tmp_path / "a.tif")
    with open_slide(path) as slide:
        patches = device_patches(slide, (1.0, 1.0), StandIn())
        cut_end(path, 14)
        place = Rect(300, 300, 128, 128)
        np.testing.assert_array_equal(patches.read([place], 128)[0], read_patch(slide, place, 128))


@pytest.mark.parametrize("spoil", [lambda tile: None, lambda tile: tile[:100]], ids=["none", "cut short"])
def test_a_tile_only_the_decoder_cannot_take_comes_from_the_reader(slide, spoil):
    class Picky(StandIn):
        def __call__(self, streams, *, stores_rgb):
            first, *rest = super().__call__(streams, stores_rgb=stores_rgb)
            return [spoil(first), *rest] if rest else [first]

    patches = device_patches(slide, (1.0, 1.0), Picky())
    place = Rect(100, 60, 128, 128)
    np.testing.assert_array_equal(patches.read([place], 128)[0], read_patch(slide, place, 128))


def test_a_decoder_that_gives_up_is_told(slide):
    class GivesUp(StandIn):
        def __call__(self, streams, *, stores_rgb):
            if self.batches:
                raise RuntimeError("illegal memory access")
            return super().__call__(streams, stores_rgb=stores_rgb)

    patches = device_patches(slide, (1.0, 1.0), GivesUp())
    with pytest.raises(DeviceError, match="illegal memory access"):
        patches.read([Rect(0, 0, 128, 128)], 128)


def table_of(slide, patch_px=128):
    grid = patch_grid(slide.info.size_px, slide.info.mpp, patch_px, MPP)
    cells = np.arange(grid.columns * grid.rows)
    return PatchTable(grid, (cells % grid.columns).astype(np.int32), (cells // grid.columns).astype(np.int32))


def test_chunks_come_as_tensors_and_hold_what_reading_gives(slide):
    table = table_of(slide)
    patches = device_patches(slide, (1.0, 1.0), StandIn())
    device = list(decoded(slide, table, None, threads=3, chunk=4, on_device=patches))
    host = list(decoded(slide, table, None, threads=1, chunk=4))
    assert all(isinstance(chunk.pixels, torch.Tensor) and chunk.entropy is None for chunk in device)
    for ours, theirs in zip(device, host, strict=True):
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)


def test_out_of_memory_leaves_the_patches_to_the_processor(slide):
    patches = device_patches(slide, (1.0, 1.0), Full())
    assert patches.read([Rect(0, 0, 128, 128)], 128) is None
    table = table_of(slide)
    chunks = list(decoded(slide, table, None, threads=2, chunk=4, on_device=patches))
    host = list(decoded(slide, table, None, threads=1, chunk=4))
    for ours, theirs in zip(chunks, host, strict=True):
        assert isinstance(ours.pixels, np.ndarray)
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)


def test_pixels_of_both_kinds_are_joined():
    array = np.arange(2 * 3 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 3)
    tensor = torch.from_numpy(array + 100)
    assert isinstance(join_pixels([array, array]), np.ndarray)
    assert isinstance(join_pixels([tensor, tensor]), torch.Tensor)
    np.testing.assert_array_equal(join_pixels([array, tensor]), np.concatenate([array, array + 100]))


class DeviceNetwork:
    """What runs on CUDA, without CUDA: the device's preparation, then the network."""

    device = "cuda"

    def __init__(self, bundle):
        self.network = bundle.network()
        self.prepare = networks._resize_on_device(bundle.card.input_px)
        self.kinds = set()

    @torch.inference_mode()
    def __call__(self, batch):
        self.kinds.add(type(batch))
        prepared, entropy = self.prepare(torch.as_tensor(batch))
        h, e = self.network(prepared)
        return h.numpy(), e.numpy(), entropy.float().numpy()


def test_features_equal_those_of_patches_that_went_up(tissue_slide, ws_bundle):
    bundle = open_bundle(ws_bundle)
    settings = EngineSettings(batch=8, decode_threads=2)
    with open_slide(tissue_slide) as slide:
        table = table_of(slide, 256).take(np.arange(30, 50))
        patches = device_patches(slide, (1.0, 1.0), StandIn())
        found = []
        for on_device in (None, patches):
            network = DeviceNetwork(bundle)
            wants = [Want(lambda network=network: network, table, 256)]
            found += drain(extract(slide, wants, None, settings, on_device)).features
            assert network.kinds == {torch.Tensor if on_device else np.ndarray}
    for name in ("h", "e", "entropy"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


def test_only_patches_that_stay_as_read_may_come_from_a_device(tissue_slide, ws_bundle, monkeypatch):
    bundle = open_bundle(ws_bundle)
    monkeypatch.setattr(module, "_shared_decoder", StandIn)
    cuda = Choice("torch", "cuda", "fp32")
    with open_slide(tissue_slide) as slide:
        engine = networks.Engine(cuda, EngineSettings(), None)
        assert engine.device_patches(slide, bundle.card).decoder_name == "stand-in"
        never = networks.Engine(cuda, EngineSettings(jpeg_decoding="cpu"), None)
        assert never.device_patches(slide, bundle.card) is None
        assert networks.engine_for(bundle, EngineSettings()).device_patches(slide, bundle.card) is None
        keys = {engine.key(bundle, slide.info, name).reader for name in ("cpu", "stand-in")}
        assert keys == {"openslide+tiles", "openslide+tiles+stand-in"}


def test_a_prediction_decodes_on_the_device_and_says_so(tissue_slide, ws_bundle, monkeypatch, tmp_path):
    bundle = open_bundle(ws_bundle)
    network = DeviceNetwork(bundle)
    monkeypatch.setattr(module, "_shared_decoder", StandIn)

    class OnDevice(networks.Engine):
        def compile(self, bundle):
            return network

    engine = OnDevice(Choice("torch", "cpu", "fp32"), EngineSettings(), None)
    monkeypatch.setattr(job, "engine_for", lambda bundle, settings: engine)
    cache = FeatureCache(tmp_path)
    with open_slide(tissue_slide) as slide:
        request = job.Request([bundle], settings=job.PredictSettings(fill_clinical=True), cache=cache)
        result = drain(job.predict_slide(slide, request, job.survey(slide)))
        kept = cache.entry(engine.key(bundle, slide.info, "stand-in"))
    assert network.kinds == {torch.Tensor}
    assert result.runs[0].jpeg_decoder == "stand-in"
    assert len(kept.load(256)) > 0
