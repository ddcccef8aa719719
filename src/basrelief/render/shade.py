"""Render shaded colour images of shapes with Phong lighting."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.appearance import readonly
from basrelief.checks import check_at_least, check_positive
from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry.appearance import srgb_from_linear
from basrelief.render import fast
from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.mesh import barycentric, mesh_tensors, rasterize_mesh
from basrelief.render.normals import corner_normals, face_normals
from basrelief.render.ops import blend, dot
from basrelief.render.spheres import ball_radius, rasterize_points
from basrelief.render.textures import SurfaceTable
from basrelief.render.zbuffer import Raster
from basrelief.types import Mesh, PointCloud, Shape

CLAY = (0.76, 0.74, 0.71)
WHITE = (1.0, 1.0, 1.0)
GAMMA = 2.2  # approximates sRGB
FOLD_REACH = (0.015, 0.04)  # half lengths of the sample lines for ambient occlusion, as shares of the image side


_STRENGTHS = ("ambient", "sky", "headlight", "directional", "specular", "shininess", "occlusion", "reflection")


@dataclass(frozen=True)
class Lighting:
    """Phong lighting (1975): ambient, a headlight at the eye, one distant light with highlight; linear light, 1 is full intensity.

    Attributes:
        ambient: Strength of the ambient light.
        sky: Strength of the soft light from above (world +Z), which reaches surfaces that face down not at all, vertical ones by half.
        headlight: Strength of the light at the eye.
        directional: Strength of the distant light.
        direction: Towards the distant light, any length.
        follows_camera: Whether `direction` is in the camera frame (+X right, +Y down, +Z forward) or in the world frame.
        specular: Strength of the highlight.
        shininess: Exponent of the highlight.
        occlusion: How much concave places are darkened, in [0, 1].
        reflection: Share of the light that surfaces of any colour send back, so that black ones show their form.

    Raises:
        ConfigError: If a strength is negative or the direction has no length.
    """

    ambient: float = 0.32
    sky: float = 0.0
    headlight: float = 0.26
    directional: float = 0.62
    direction: tuple[float, float, float] = (-0.45, -0.8, -0.55)
    follows_camera: bool = True
    specular: float = 0.12
    shininess: float = 16.0
    occlusion: float = 0.9
    reflection: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        for name in _STRENGTHS:
            check_positive(name, getattr(self, name), "Use 0 to switch it off.", zero=True)
        if not 0 < math.hypot(*self.direction) < math.inf:
            raise ConfigError(
                f"direction is {self.direction}; it must be finite and not zero. Set directional to 0 to switch the light off."
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Lighting:
        """Build it from values by name; the others keep their default.

        Raises:
            ConfigError: If a name is unknown or a value is out of range.
        """
        names = [each.name for each in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise ConfigError(unknown_choice("light", name, names))
        direction = values.get("direction", cls.direction)
        return cls(**{**values, "direction": tuple(map(float, direction))})


LIGHTINGS: dict[str, Lighting] = {
    "phong": Lighting(),
    "studio": Lighting(ambient=0.34, sky=0.26, headlight=0.2, directional=0.3, specular=0.04, occlusion=0.6, reflection=0.015),
}
"""Presets: `phong` models the form with a strong light from above left; `studio` is soft and keeps the colours of materials."""


def shade(
    shape: Shape,
    viewport: Viewport,
    *,
    lighting: Lighting | None = None,
    background: tuple[float, float, float] | Float[Tensor, "fine fine 3"] = WHITE,
    supersample: int = 2,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "views size size 3"]:
    """Render a shape in colour from every camera; meshes are two-sided, point clouds are drawn as small balls.

    Args:
        shape: Mesh or point cloud, world frame, about unit size; clay-coloured if it has no colours.
        viewport: Cameras, size and extent of the images.
        lighting: The lights; `Lighting()` when None.
        background: Background colour, sRGB in [0, 1], or an image of `size * supersample` pixels a side.
        supersample: Samples per pixel along each side, for antialiasing.
        device: Device to render on and of the result.

    Returns:
        sRGB in [0, 1], float32.

    Raises:
        ConfigError: If `supersample` is below 1.
    """
    check_at_least("supersample", supersample, 1, "Use 1 for hard edges.")
    lighting = lighting or Lighting()
    fine = Viewport(viewport.cameras, viewport.size * supersample, viewport.extent)
    if fast.usable(device):
        return _shade_compiled(shape, fine, viewport.size, lighting, background)
    surface = _mesh_surface(shape, fine, device) if isinstance(shape, Mesh) else _ball_surface(shape, fine, device)
    raster, normal, albedo = surface
    color = torch.as_tensor(background, dtype=albedo.dtype, device=albedo.device).expand(*raster.item.shape, 3).clone()
    color[raster.item >= 0] = _light(raster, normal, albedo, fine, lighting)
    return torch.nn.functional.avg_pool2d(color.permute(0, 3, 1, 2), supersample).permute(0, 2, 3, 1)


def _shade_compiled(
    shape: Shape, fine: Viewport, size: int, lighting: Lighting, background: tuple[float, float, float] | Tensor
) -> Float[Tensor, "views size size 3"]:
    """Do the same with the compiled kernels."""
    from basrelief.render.fast import draw
    from basrelief.render.fast.shading import Lights

    ground = np.asarray(background, dtype=np.float32)
    directions = draw.light_directions(lighting.direction, fine, follows_camera=lighting.follows_camera)
    strength = np.array([getattr(lighting, name) for name in _STRENGTHS], np.float32)
    ground = readonly(ground if ground.ndim == 3 else ground.reshape(1, 1, 3))
    folds = _fold_lines(fine.size)
    lines = np.array([(round(reach * math.sin(angle)), round(reach * math.cos(angle))) for reach, angle in folds])
    steepness = np.array([fine.scale / reach for reach, _ in folds], np.float32)
    curves = draw.curves(GAMMA, lighting.shininess)

    def lights(view: int) -> Lights:
        return Lights(strength, directions[view], ground, lines, int(np.abs(lines).max()), steepness, **curves)

    colors = readonly(np.array([CLAY], np.float32)) if shape.colors is None else shape.colors
    if isinstance(shape, Mesh):
        return torch.from_numpy(draw.draw_mesh(shape, fine, size, colors, lights))
    return torch.from_numpy(draw.draw_cloud(shape, fine, size, ball_radius(shape.points), colors, lights))


def render_thumbnail(
    shape: Shape, *, azimuth: float = -55.0, elevation: float = 24.0, size: int = 512, supersample: int = 3
) -> Float[np.ndarray, "size size 3"]:
    """Render one image of a shape of any size and position, scaled to fill the image; in soft light if it has colours.

    Args:
        shape: Mesh or point cloud, world frame.
        azimuth: Degrees of the eye from world +X towards +Y.
        elevation: Degrees of the eye above the horizon.
        size: Side of the image, pixels.
        supersample: Samples per pixel along each side.

    Returns:
        sRGB in [0, 1], float32, on white.
    """
    cameras = look_at_cameras([azimuth], elevation)
    turn = cameras.rotation[0].astype(np.float64)
    seen = turn @ drawn_positions(shape).T
    low, high = seen.min(1), seen.max(1)
    middle = (low + high) / 2
    rounding = max(np.abs(middle).max() * 1e-9, np.finfo(np.float32).tiny)
    reach = max((high - low)[:2].max() / 2, (high - low)[2] * 1e-6, rounding)
    placed = moved(shape, np.linalg.solve(turn, middle), 1 / float(reach))
    edge = 0.0 if isinstance(placed, Mesh) else ball_radius(placed.points)
    viewport = Viewport(cameras, size, 1.06 + edge)
    colored = shape.colors is not None or (isinstance(shape, Mesh) and shape.appearance is not None)
    lighting = LIGHTINGS["studio" if colored else "phong"]
    picture: np.ndarray = shade(placed, viewport, lighting=lighting, supersample=supersample).numpy()[0]
    return picture


def prepare_renderer() -> None:
    """Draw a triangle and a point, so that compiling or loading the compiled code does not count against the first shape.

    Does nothing where numba is not used. The first time after an installation, compiling takes tens of seconds.
    """
    if fast.usable("cpu"):
        corners = np.eye(3, dtype=np.float32)
        render_thumbnail(Mesh(corners, np.array([[0, 1, 2]])), size=8)
        render_thumbnail(PointCloud(corners), size=8)


def drawn_positions(shape: Shape) -> Float[np.ndarray, "points 3"]:
    """Return the positions that a picture shows, float64: vertices of faces, or points."""
    if not isinstance(shape, Mesh):
        return shape.points.astype(np.float64)
    used = np.zeros(len(shape.vertices), bool)
    used[shape.faces.ravel()] = True
    return (shape.vertices if used.all() else shape.vertices[used]).astype(np.float64)


def moved(shape: Shape, centre: Float[np.ndarray, "3"], scale: float) -> Shape:
    """Return a shape with `centre` at the origin, scaled."""
    name = "vertices" if isinstance(shape, Mesh) else "points"
    placed = (getattr(shape, name) - centre) * scale
    if isinstance(shape, Mesh):
        placed.clip(-1e30, 1e30, out=placed)  # vertices of no face may be far away: they are not drawn, but must stay finite
    return dataclasses.replace(shape, **{name: placed.astype(np.float32)})


def _mesh_surface(mesh: Mesh, viewport: Viewport, device: torch.device | str) -> tuple[Raster, Tensor, Tensor]:
    """Rasterize a mesh; return the raster, and for each foreground pixel the unit normal towards the eye and the colour."""
    raster = rasterize_mesh(mesh, viewport, device=device)
    vertices, faces = mesh_tensors(mesh, device)
    face = raster.item[raster.item >= 0]
    weight = barycentric(mesh, viewport, raster)
    normal = blend(corner_normals(vertices, faces).float()[face], weight)
    facing = dot(face_normals(vertices, faces)[face], viewport.rays(raster.seen)[1])
    normal = torch.where(facing > 0, -1.0, 1.0)[:, None] * torch.nn.functional.normalize(normal, dim=1)
    return raster, normal, _mesh_albedo(mesh, viewport, raster, weight)


def _mesh_albedo(mesh: Mesh, viewport: Viewport, raster: Raster, weight: Tensor) -> Float[Tensor, "pixels 3"]:
    """Return the colour of each foreground pixel, sRGB."""
    device = weight.device
    vertices, faces = mesh_tensors(mesh, device)
    pixels = raster.seen
    face = raster.item[tuple(pixels.T)]
    if mesh.appearance is not None:
        direction = viewport.rays(pixels)[1]
        unit = torch.nn.functional.normalize(face_normals(vertices, faces), dim=1)[face]
        cosine = (dot(unit, direction).abs() / direction.norm(dim=1)).clamp(min=1e-6)
        distance = viewport.cameras.distance
        nearness = 1.0 if distance is None else raster.depth[tuple(pixels.T)].double() / distance
        footprint = (nearness / viewport.scale) ** 2 / cosine
        light = SurfaceTable(mesh, mesh.appearance, device).light(face, weight.double(), footprint)
        return torch.from_numpy(srgb_from_linear(light[:, :3].cpu().numpy())).to(device)
    if mesh.colors is None:
        return weight.new_tensor(CLAY).expand(len(face), 3)
    return blend(torch.tensor(mesh.colors, device=device)[faces[face]], weight)


def _ball_surface(cloud: PointCloud, viewport: Viewport, device: torch.device | str) -> tuple[Raster, Tensor, Tensor]:
    """Do the same for a point cloud drawn as balls."""
    raster = rasterize_points(cloud, viewport, radius=ball_radius(cloud.points), device=device)
    pixels = raster.seen
    point = raster.item[tuple(pixels.T)]
    origin, direction = viewport.rays(pixels)
    hit = origin + direction * raster.depth[tuple(pixels.T)][:, None]
    normal = torch.nn.functional.normalize(hit - torch.tensor(cloud.points, dtype=torch.float64, device=device)[point], dim=1).float()
    if cloud.colors is None:
        return raster, normal, normal.new_tensor(CLAY).expand(len(point), 3)
    return raster, normal, torch.tensor(cloud.colors, device=device)[point]


def _light(raster: Raster, normal: Tensor, color: Tensor, viewport: Viewport, lighting: Lighting) -> Float[Tensor, "pixels 3"]:
    """Light the foreground pixels: sRGB in and out, linear in between."""
    pixels = raster.seen
    eye = -torch.nn.functional.normalize(viewport.rays(pixels)[1], dim=1).float()
    light = torch.nn.functional.normalize(eye.new_tensor(lighting.direction), dim=0).expand_as(eye)
    if lighting.follows_camera:
        light = torch.einsum("pji,pj->pi", torch.tensor(viewport.cameras.rotation, device=eye.device)[pixels[:, 0]].float(), light)
    lambert = dot(normal, light)[:, None]
    mirrored = 2 * lambert * normal - light
    shine = dot(mirrored, eye)[:, None].clamp(min=0) ** lighting.shininess * (lambert > 0)
    facing = dot(normal, eye)[:, None].clamp(min=0)
    above = lighting.sky * (0.5 + 0.5 * normal[:, 2:])
    white = lighting.ambient + above + lighting.headlight * facing + lighting.directional * lambert.clamp(min=0)
    open_ = 1 - lighting.occlusion * _concavity(raster.depth, viewport)[raster.item >= 0][:, None]
    return ((color**GAMMA + lighting.reflection) * white * open_ + lighting.specular * shine).clamp(0, 1) ** (1 / GAMMA)


def _concavity(depth: Float[Tensor, "views size size"], viewport: Viewport) -> Float[Tensor, "views size size"]:
    """Estimate how concave the surface is at each pixel, in [0, 1]; 0 on planes, ridges and outlines.

    The mean over short lines through the pixel of e t exp(-t), where t is the depth below the line's middle over half its length.
    """
    total = torch.zeros_like(depth)
    size, border = viewport.size, math.ceil(max(FOLD_REACH) * viewport.size) + 1
    padded = torch.nn.functional.pad(torch.where(depth.isfinite(), depth, torch.nan), (border,) * 4, value=torch.nan)
    lines = _fold_lines(size)
    for reach, angle in lines:
        y, x = round(reach * math.sin(angle)), round(reach * math.cos(angle))
        ends = (padded[:, border + s * y :, border + s * x :][:, :size, :size] for s in (-1, 1))
        t = (depth - sum(ends) / 2).mul_(viewport.scale / reach).nan_to_num_(0, 0, 0).clamp_(0)
        total += t * torch.exp(1 - t)
    return total / len(lines)


def _fold_lines(size: int) -> list[tuple[float, float]]:
    """Return half length in pixels and angle in radians of the sample lines."""
    return [(max(1.0, share * size), math.radians(angle)) for share in FOLD_REACH for angle in range(0, 180, 30)]
