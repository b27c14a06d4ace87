"""What tests of all libraries share: chips of an encoder, weights that differ everywhere, vectors of chips."""

from __future__ import annotations

import numpy as np

from tests.fake_chips import fake_chips


def chips_of(bands, *, unit, px, n=2, dates=1, low=0.0, high=0.9, seed=0, block="960m"):
    """Return chips whose bands lie between ``low`` and ``high``, which may be one number for each band."""
    chips = fake_chips(n, px=px, dates=dates, bands=len(bands), seed=seed, blocks=(block,))
    rng = np.random.default_rng(seed)
    low, high = (np.broadcast_to(np.asarray(end, float), len(bands))[:, None, None] for end in (low, high))
    drawn = low + (high - low) * rng.random(chips.pixels[block].shape)
    chips.pixels[block] = drawn.astype(np.float32)
    chips.bands, chips.pixel_unit = tuple(bands), unit
    return chips


def shaken(network, *, seed=3):
    """Return the network with weights that are nowhere 0 or 1, as they are made: a wrong one would go unseen."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in network.parameters():
            one.add_(0.02 * torch.randn(one.shape, generator=generator))
    return network.eval()


def encoded(encoder, chips, **more):
    (block,) = chips.blocks
    batch = next(iter(chips.batches(size=100)))
    return encoder.fit(chips, **more).encode(batch.pixels[block], batch.mask[block], block)


def near(found, expected):
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert expected.std() > 1e-3
    assert np.abs(expected[0] - expected[1]).max() > 1e-4
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


def same_bits_alone(encoder, chips):
    """Check that a chip has the same bits in any batch, and that what is masked does not move it."""
    (block,) = chips.blocks
    chips.mask[block][1, 0, 5:40, 5:60] = False
    fitted = encoder.fit(chips)
    pixels, mask = chips.pixels[block], chips.mask[block]
    whole = fitted.encode(pixels, mask, block)
    for i in range(len(pixels)):
        np.testing.assert_array_equal(fitted.encode(pixels[[i]], mask[[i]], block)[0], whole[i])
    np.testing.assert_array_equal(fitted.encode(pixels[::-1], mask[::-1], block), whole[::-1])
    junk = np.where(mask[:, :, None], pixels, np.float32(-7e8))
    np.testing.assert_array_equal(fitted.encode(junk, mask, block), whole)
    assert not np.allclose(fitted.encode(pixels, np.ones_like(mask), block)[1], whole[1], atol=1e-6)
