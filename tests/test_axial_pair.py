"""The two axial attentions of the published network, which look along width both, as one multiplication."""

import torch

from worker.matting.inspyrenet import DEPTH, _Maker
from worker.matting.layers import OneDnnLayers

HEIGHT, WIDTH, QUERIES = 8, 12, DEPTH // 8


def weights() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    shapes = {"asked": (4 * QUERIES, DEPTH), "value": (DEPTH, 2 * DEPTH)}
    made = {f"p.{n}.weight": torch.randn(*s, generator=random) / DEPTH**0.5 for n, s in shapes.items()}
    return made | {f"p.{n}.bias": torch.randn(s[0], generator=random) for n, s in shapes.items()}


def literally(x: torch.Tensor) -> torch.Tensor:
    """Return it for one map of (64, H, W): each attention by itself, both side by side, weighed, added."""
    w, tokens = weights(), x.permute(1, 2, 0)
    asked = (tokens @ w["p.asked.weight"].T + w["p.asked.bias"]).view(HEIGHT, WIDTH, 4, QUERIES)
    seen = []
    for query, key in (asked.unbind(2)[:2], asked.unbind(2)[2:]):
        scores = torch.einsum("hwc,hvc->wv", query, key).softmax(-1)
        seen.append(torch.einsum("wv,hvc->hwc", scores, tokens))
    both = torch.cat(seen, -1) @ w["p.value.weight"].T + w["p.value.bias"]
    return (tokens + both).permute(2, 0, 1)


@torch.inference_mode()
def test_one_multiplication_gives_what_both_give() -> None:
    pair = _Maker(weights(), OneDnnLayers(torch.float32)).pair("p")
    maps = torch.randn(2, DEPTH, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    found = pair(maps.to(memory_format=torch.channels_last))
    expected = torch.stack([literally(x) for x in maps])
    assert (expected - maps).std() > 0.5
    assert (found - expected).abs().max() < 2e-5
    assert found.is_contiguous(memory_format=torch.channels_last)  # or the next convolution lays it out anew
