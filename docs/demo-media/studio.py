"""A small photo studio on top of Blender/Cycles for the demo pictures.

Works inside Blender >= 3.4 (`blender -b -P docs/demo-media/kettle.py`) and
with the `bpy` wheel from PyPI (`python docs/demo-media/kettle.py`).
One scene unit is one decimetre. Everything is procedural and seeded.
"""
import math
import os
import sys
import tempfile

import bpy
import numpy as np
from mathutils import Matrix, Vector

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
RAW = os.path.join(tempfile.gettempdir(), "pytoon-demo-media")
TEX = os.path.join(HERE, "textures")
os.makedirs(RAW, exist_ok=True)

CREAM, TERRACOTTA, GREEN, INK = "#F4EDE2", "#C8553D", "#2F4B3C", "#1F1B18"


def args():
    """shot names and key=value options after `--` (or after the script)."""
    av = sys.argv[sys.argv.index("--") + 1:] if "--" in sys.argv else (
        sys.argv[1:] if "-b" not in sys.argv else [])
    names = [a for a in av if "=" not in a]
    opt = dict(a.split("=", 1) for a in av if "=" in a)
    return names, float(opt.get("scale", 1)), int(opt.get("samples", 0))


def lin(hexcol, gain=1.0):
    h = hexcol.lstrip("#")
    out = []
    for i in (0, 2, 4):
        c = int(h[i:i + 2], 16) / 255
        c = c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        out.append(c * gain)
    return (*out, 1.0)


# ---------------------------------------------------------------- scene
def reset():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    sc = bpy.context.scene
    sc.render.engine = "CYCLES"
    sc.cycles.device = "CPU"
    sc.render.threads_mode = "FIXED"
    sc.render.threads = 2
    sc.cycles.seed = 7
    sc.cycles.max_bounces = 8
    sc.cycles.diffuse_bounces = 3
    sc.cycles.glossy_bounces = 4
    sc.cycles.transmission_bounces = 8
    sc.cycles.transparent_max_bounces = 12
    sc.cycles.caustics_reflective = False
    sc.cycles.caustics_refractive = False
    sc.cycles.sample_clamp_indirect = 4
    sc.cycles.blur_glossy = 0.5
    sc.render.use_persistent_data = True
    sc.display_settings.display_device = "sRGB"
    sc.view_settings.view_transform = "Filmic"
    for look in ("Medium High Contrast", "Filmic - Medium High Contrast"):
        try:
            sc.view_settings.look = look
            break
        except TypeError:
            pass
    return sc


def world(hexcol, strength):
    w = bpy.data.worlds.new("world")
    bpy.context.scene.world = w
    w.use_nodes = True
    bg = w.node_tree.nodes["Background"] if "Background" in w.node_tree.nodes \
        else w.node_tree.nodes.new("ShaderNodeBackground")
    bg.inputs[0].default_value = lin(hexcol)
    bg.inputs[1].default_value = strength
    return w


def aim(ob, target):
    d = Vector(target) - ob.location
    ob.rotation_euler = d.to_track_quat("-Z", "Y").to_euler()


def softbox(name, loc, target, size, power, color="#FFF8F0", spread=180,
            camera=False):
    li = bpy.data.lights.new(name, "AREA")
    li.shape = "RECTANGLE"
    li.size, li.size_y = size
    li.energy = power
    li.color = lin(color)[:3]
    if hasattr(li, "spread"):
        li.spread = math.radians(spread)
    ob = bpy.data.objects.new(name, li)
    ob.location = loc
    bpy.context.collection.objects.link(ob)
    aim(ob, target)
    ob.visible_camera = camera
    return ob


def sun(direction, strength, angle=1.0, color="#FFE3BE"):
    li = bpy.data.lights.new("sun", "SUN")
    li.energy = strength
    li.angle = math.radians(angle)
    li.color = lin(color)[:3]
    ob = bpy.data.objects.new("sun", li)
    ob.location = [-10 * c for c in direction]
    bpy.context.collection.objects.link(ob)
    aim(ob, (0, 0, 0))
    return ob


def camera(loc, target, lens, focus, fstop, shift=(0, 0)):
    cam = bpy.data.cameras.new("cam")
    cam.lens = lens
    cam.sensor_width = 36
    cam.clip_start = 0.05
    cam.shift_x, cam.shift_y = shift
    ob = bpy.data.objects.new("cam", cam)
    ob.location = loc
    bpy.context.collection.objects.link(ob)
    aim(ob, target)
    cam.dof.use_dof = fstop is not None
    if fstop:
        d = (Vector(focus) - ob.location)
        fwd = (Vector(target) - ob.location).normalized()
        cam.dof.focus_distance = d.dot(fwd)
        cam.dof.aperture_fstop = fstop
        cam.dof.aperture_blades = 0
    bpy.context.scene.camera = ob
    return ob


def render(name, size, scale=1.0, samples=64, transparent=False, exposure=0.0):
    sc = bpy.context.scene
    sc.render.resolution_x, sc.render.resolution_y = size
    sc.render.resolution_percentage = round(100 * scale)
    sc.render.film_transparent = transparent
    sc.view_settings.exposure = exposure
    cy = sc.cycles
    cy.use_adaptive_sampling = True
    cy.adaptive_threshold = 0.02
    try:
        cy.use_denoising = True
        cy.denoiser = "OPENIMAGEDENOISE"
        cy.denoising_input_passes = "RGB_ALBEDO_NORMAL"
        cy.samples = samples
    except TypeError:                 # a build without OpenImageDenoise
        cy.use_denoising = False
        cy.samples = samples * 12
        cy.adaptive_threshold = 0.01
    sc.render.image_settings.file_format = "PNG"
    sc.render.image_settings.color_mode = "RGBA" if transparent else "RGB"
    sc.render.image_settings.color_depth = "16"
    sc.render.image_settings.compression = 40
    sc.render.filepath = os.path.join(RAW, name + ".png")
    bpy.ops.render.render(write_still=True)
    # where the subject lies, as fractions of the picture (x0 y0 x1 y1)
    from bpy_extras.object_utils import world_to_camera_view as w2c
    pts = []
    dg = bpy.context.evaluated_depsgraph_get()
    for ob in bpy.context.scene.objects:
        if ob.get("subject"):
            for v in ob.evaluated_get(dg).bound_box:
                p = w2c(sc, sc.camera, ob.matrix_world @ Vector(v))
                pts.append((p.x, 1 - p.y))
    if pts:
        a = np.array(pts)
        print("SUBJECT", name, np.round([*a.min(0), *a.max(0)], 3).tolist())


# ---------------------------------------------------------------- shapes
def mesh(name, verts, faces, mat=None, smooth=True, uvs=None):
    me = bpy.data.meshes.new(name)
    me.from_pydata([tuple(map(float, v)) for v in verts], [], faces)
    me.update()
    if uvs is not None:
        layer = me.uv_layers.new(name="uv")
        for loop in me.loops:
            layer.data[loop.index].uv = uvs[loop.vertex_index]
    if smooth:
        me.polygons.foreach_set("use_smooth", [True] * len(me.polygons))
    ob = bpy.data.objects.new(name, me)
    bpy.context.collection.objects.link(ob)
    if mat:
        me.materials.append(mat)
    return ob


def fillet(points, step=0.03):
    """points: (r, z[, fillet radius]); returns a dense polyline."""
    pts = [(p[0], p[1], p[2] if len(p) > 2 else 0) for p in points]
    out = []
    n = len(pts)
    for i, (x, y, f) in enumerate(pts):
        p = np.array([x, y])
        if f <= 0 or i in (0, n - 1):
            out.append(p)
            continue
        a = np.array(pts[i - 1][:2]) - p
        b = np.array(pts[i + 1][:2]) - p
        la, lb = np.linalg.norm(a), np.linalg.norm(b)
        a, b = a / la, b / lb
        cosang = np.clip(a @ b, -1, 1)
        half = math.acos(cosang) / 2
        d = min(f / math.tan(half), la * 0.49, lb * 0.49)
        r = d * math.tan(half)
        bis = (a + b) / np.linalg.norm(a + b)
        c = p + bis * (r / math.sin(half))
        t0, t1 = p + a * d, p + b * d
        a0 = math.atan2(*(t0 - c)[::-1])
        a1 = math.atan2(*(t1 - c)[::-1])
        da = (a1 - a0 + math.pi) % (2 * math.pi) - math.pi
        k = max(4, int(abs(da) / 0.16))
        for j in range(k + 1):
            t = a0 + da * j / k
            out.append(c + r * np.array([math.cos(t), math.sin(t)]))
    dense = [out[0]]
    for p in out[1:]:
        q = dense[-1]
        L = np.linalg.norm(p - q)
        if L < 1e-6:
            continue
        k = max(1, int(math.ceil(L / step)))
        for j in range(1, k + 1):
            dense.append(q + (p - q) * j / k)
    return dense


def lathe(name, profile, mat, segs=144, step=0.03, loc=(0, 0, 0)):
    prof = fillet(profile, step)
    verts, faces = [], []
    n = len(prof)
    for i in range(segs):
        t = 2 * math.pi * i / segs
        c, s = math.cos(t), math.sin(t)
        verts += [(max(p[0], 1e-4) * c, max(p[0], 1e-4) * s, p[1]) for p in prof]
    for i in range(segs):
        j = (i + 1) % segs
        for k in range(n - 1):
            faces.append((i * n + k, j * n + k, j * n + k + 1, i * n + k + 1))
    ob = mesh(name, verts, faces, mat)
    ob.location = loc
    return ob


def catmull(points, n=160):
    """centripetal-ish Catmull-Rom through points, resampled evenly."""
    P = [np.array(p, float) for p in points]
    P = [2 * P[0] - P[1]] + P + [2 * P[-1] - P[-2]]
    raw = []
    for i in range(1, len(P) - 2):
        p0, p1, p2, p3 = P[i - 1:i + 3]
        for t in np.linspace(0, 1, 40, endpoint=False):
            raw.append(0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t ** 2
                              + (3 * p1 - p0 - 3 * p2 + p3) * t ** 3))
    raw.append(P[-2])
    raw = np.array(raw)
    d = np.r_[0, np.cumsum(np.linalg.norm(np.diff(raw, axis=0), axis=1))]
    u = np.linspace(0, d[-1], n)
    return np.stack([np.interp(u, d, raw[:, k]) for k in range(raw.shape[1])], 1)


def sweep(name, path, section, mat, segs=48, closed=False, caps=True, side=(0, 1, 0)):
    """section(t) -> (half width along `side`, half height, exponent)."""
    path = np.asarray(path, float)
    n = len(path)
    tan = np.gradient(path, axis=0)
    if closed:
        tan = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    tan /= np.linalg.norm(tan, axis=1)[:, None]
    verts, faces = [], []
    side = np.array(side, float)
    for i in range(n):
        b = side - tan[i] * (side @ tan[i])
        b /= np.linalg.norm(b)
        nrm = np.cross(tan[i], b)
        w, h, e = section(i / (n - 1))
        for k in range(segs):
            a = 2 * math.pi * k / segs
            c, s = math.cos(a), math.sin(a)
            x = math.copysign(abs(c) ** (2 / e), c) * w
            y = math.copysign(abs(s) ** (2 / e), s) * h
            verts.append(path[i] + b * x + nrm * y)
    m = n if closed else n - 1
    for i in range(m):
        j = (i + 1) % n
        for k in range(segs):
            l = (k + 1) % segs
            faces.append((i * segs + k, i * segs + l, j * segs + l, j * segs + k))
    if caps and not closed:
        faces.append(tuple(range(segs))[::-1])
        faces.append(tuple((n - 1) * segs + k for k in range(segs)))
    ob = mesh(name, verts, faces, mat)
    # outward normals, whichever way the path runs
    import bmesh
    bm = bmesh.new()
    bm.from_mesh(ob.data)
    bmesh.ops.recalc_face_normals(bm, faces=bm.faces)
    bm.to_mesh(ob.data)
    bm.free()
    return ob


def round_end(t, r0=0.0, r1=0.0):
    """scale factor that closes a sweep with round ends (lengths in t)."""
    s = 1.0
    if r0 and t < r0:
        s *= math.sqrt(max(0, 1 - (1 - t / r0) ** 2))
    if r1 and t > 1 - r1:
        s *= math.sqrt(max(0, 1 - (1 - (1 - t) / r1) ** 2))
    return max(s, 0.02)


def box(name, size, loc, mat, bevel=0.03, rot=(0, 0, 0)):
    x, y, z = (s / 2 for s in size)
    v = [(-x, -y, -z), (x, -y, -z), (x, y, -z), (-x, y, -z),
         (-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)]
    f = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    ob = mesh(name, v, f, mat, smooth=False)
    ob.location, ob.rotation_euler = loc, rot
    if bevel:
        b = ob.modifiers.new("bevel", "BEVEL")
        b.width, b.segments = bevel, 5
        ob.data.polygons.foreach_set("use_smooth", [True] * 6)
        if hasattr(b, "harden_normals"):
            if hasattr(ob.data, "use_auto_smooth"):
                ob.data.use_auto_smooth = True
            b.harden_normals = True
    return ob


def cyc(mat, depth=9, height=14, width=30, radius=3.0, y0=4):
    """seamless paper sweep: floor towards the camera, wall behind."""
    prof = fillet([(-14, 0), (y0 + 0.0, 0, radius), (y0, height)], 0.15)
    verts, faces = [], []
    for p in prof:
        verts += [(-width / 2, p[0], p[1]), (width / 2, p[0], p[1])]
    for i in range(len(prof) - 1):
        faces.append((2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2))
    return mesh("cyc", verts, faces, mat)


def group(obs, loc=(0, 0, 0), rot_z=0.0, scale=1.0, subject=False, rot=None):
    e = bpy.data.objects.new("grp", None)
    bpy.context.collection.objects.link(e)
    for o in obs:
        if o.parent is None:
            o.parent = e
        if subject:
            o["subject"] = 1
    e.location = loc
    e.rotation_euler = rot or (0, 0, math.radians(rot_z))
    e.scale = (scale,) * 3
    bpy.context.view_layer.update()
    return e


# ---------------------------------------------------------------- materials
ALIAS = {
    "color": ["Base Color"], "rough": ["Roughness"], "metal": ["Metallic"],
    "sss": ["Subsurface Weight", "Subsurface"], "trans": ["Transmission Weight", "Transmission"],
    "sss_radius": ["Subsurface Radius"], "sss_scale": ["Subsurface Scale"],
    "spec": ["Specular IOR Level", "Specular"], "coat": ["Coat Weight", "Clearcoat"],
    "coat_rough": ["Coat Roughness", "Clearcoat Roughness"], "ior": ["IOR"],
    "sheen": ["Sheen Weight", "Sheen"], "emit": ["Emission Color", "Emission"],
    "emit_strength": ["Emission Strength"], "normal": ["Normal"],
    "coat_normal": ["Coat Normal", "Clearcoat Normal"],
}


class Mat:
    """thin builder around a Principled material."""

    def __init__(self, name, **kw):
        self.m = bpy.data.materials.new(name)
        self.m.use_nodes = True
        self.t = self.m.node_tree
        self.t.nodes.clear()
        self.out = self.node("ShaderNodeOutputMaterial")
        self.p = self.node("ShaderNodeBsdfPrincipled")
        self.link(self.p.outputs[0], self.out.inputs[0])
        self.coord = self.node("ShaderNodeTexCoord")
        self.set(**kw)

    def node(self, kind, **props):
        n = self.t.nodes.new(kind)
        for k, v in props.items():
            setattr(n, k, v)
        return n

    def link(self, a, b):
        self.t.links.new(a, b)

    def sock(self, key):
        for n in ALIAS[key]:
            if n in self.p.inputs:
                return self.p.inputs[n]

    def set(self, **kw):
        for k, v in kw.items():
            s = self.sock(k)
            if s is None:
                continue
            if isinstance(v, str):
                v = lin(v)
            if hasattr(v, "is_output"):
                self.link(v, s)
            else:
                s.default_value = v
        return self

    def noise(self, scale, detail=4, rough=0.5, stretch=None, distort=0.0, coord="Object"):
        n = self.node("ShaderNodeTexNoise")
        n.inputs["Scale"].default_value = scale
        n.inputs["Detail"].default_value = detail
        n.inputs["Roughness"].default_value = rough
        n.inputs["Distortion"].default_value = distort
        src = self.coord.outputs[coord]
        if stretch:
            mp = self.node("ShaderNodeMapping")
            mp.inputs["Scale"].default_value = stretch
            self.link(src, mp.inputs[0])
            src = mp.outputs[0]
        self.link(src, n.inputs["Vector"])
        return n.outputs["Fac"]

    def ramp(self, fac, stops, interp="LINEAR"):
        r = self.node("ShaderNodeValToRGB")
        cr = r.color_ramp
        cr.interpolation = interp
        while len(cr.elements) < len(stops):
            cr.elements.new(0.5)
        for e, (pos, col) in zip(cr.elements, stops):
            e.position = pos
            e.color = lin(col) if isinstance(col, str) else (
                (col, col, col, 1) if isinstance(col, (int, float)) else col)
        self.link(fac, r.inputs[0])
        return r.outputs[0]

    def bump(self, height, strength, dist=0.02, after=None):
        b = self.node("ShaderNodeBump")
        b.inputs["Strength"].default_value = strength
        b.inputs["Distance"].default_value = dist
        self.link(height, b.inputs["Height"])
        if after is not None:
            self.link(after, b.inputs["Normal"])
        return b.outputs[0]

    def mix(self, fac, a, b, blend="MIX"):
        n = self.node("ShaderNodeMixRGB", blend_type=blend)
        for s, v in zip(n.inputs, (fac, a, b)):
            if hasattr(v, "is_output"):
                self.link(v, s)
            else:
                s.default_value = lin(v) if isinstance(v, str) else v
        return n.outputs[0]

    def speckle(self, base, dark, scale=26, amount=0.11, coord="Object"):
        """fine iron-like flecks in a glaze."""
        v = self.node("ShaderNodeTexVoronoi")
        v.inputs["Scale"].default_value = scale
        self.link(self.coord.outputs[coord], v.inputs["Vector"])
        dot = self.ramp(v.outputs["Distance"], [(0.0, 1.0), (amount, 0.85), (amount + 0.05, 0.0)])
        some = self.ramp(self.noise(7, 2), [(0.48, 0.0), (0.6, 1.0)])
        f = self.mix(1.0, dot, some, "MULTIPLY")
        return self.mix(f, base, dark)

    def decal(self, base, image, empty, ink=None):
        """project image along the local -Y axis of `empty` (its XZ plane)."""
        tc = self.node("ShaderNodeTexCoord")
        tc.object = empty
        mp = self.node("ShaderNodeMapping")
        mp.inputs["Rotation"].default_value = (math.radians(-90), 0, 0)
        mp.inputs["Location"].default_value = (0.5, 0.5, 0)
        self.link(tc.outputs["Object"], mp.inputs[0])
        im = self.node("ShaderNodeTexImage", extension="CLIP")
        im.image = bpy.data.images.load(image)
        self.link(mp.outputs[0], im.inputs[0])
        sep = self.node("ShaderNodeSeparateXYZ")
        self.link(tc.outputs["Object"], sep.inputs[0])
        front = self.node("ShaderNodeMath", operation="LESS_THAN")
        self.link(sep.outputs["Y"], front.inputs[0])
        front.inputs[1].default_value = 0.0
        f = self.node("ShaderNodeMath", operation="MULTIPLY")
        self.link(im.outputs["Alpha"], f.inputs[0])
        self.link(front.outputs[0], f.inputs[1])
        return self.mix(f.outputs[0], base, ink if ink else im.outputs["Color"]), f.outputs[0]


def enamel(name, color, rough=0.36, coat=0.25, speckled=False):
    m = Mat(name, rough=rough, coat=coat, coat_rough=0.18, spec=0.45)
    a = m.noise(1.6, 3)
    tone = m.mix(m.ramp(a, [(0.3, 0.0), (0.7, 0.35)]), color,
                 tuple(c * 1.18 for c in lin(color)[:3]) + (1,))
    if speckled:
        tone = m.speckle(tone, "#5b4636")
    m.tone = tone
    m.set(color=tone,
          rough=m.ramp(m.noise(9, 5), [(0.3, rough - 0.04), (0.75, rough + 0.07)]),
          normal=m.bump(m.noise(34, 2), 0.05, 0.01))
    return m


def glaze(name, color, rough=0.3, fleck="#6b4b36"):
    m = Mat(name, rough=rough, coat=0.35, coat_rough=0.15, spec=0.5)
    cloud = m.ramp(m.noise(2.2, 4, 0.55), [(0.3, 0.0), (0.75, 0.4)])
    tone = m.mix(cloud, color, tuple(c * 0.82 for c in lin(color)[:3]) + (1,))
    m.set(color=m.speckle(tone, fleck, 22, 0.10),
          normal=m.bump(m.noise(6, 3, stretch=(1, 1, 6)), 0.10, 0.02))
    return m


def wood(name, dark, light, axis="x", rings=5.0, rough=0.42, coat=0.0, scale=1.0, bump=0.08):
    """long-grain wood; `axis` is the grain direction in object space."""
    m = Mat(name, spec=0.4, coat=coat, coat_rough=0.3)
    st = {"x": (0.10, 1, 1), "y": (1, 0.10, 1), "z": (1, 1, 0.10)}[axis]
    st = tuple(s * scale for s in st)
    warp = m.noise(1.3, 3, stretch=st)
    wv = m.node("ShaderNodeTexNoise")
    mp = m.node("ShaderNodeMapping")
    mp.inputs["Scale"].default_value = st
    m.link(m.coord.outputs["Object"], mp.inputs[0])
    m.link(mp.outputs[0], wv.inputs["Vector"])
    wv.inputs["Scale"].default_value = rings
    wv.inputs["Detail"].default_value = 3
    wv.inputs["Distortion"].default_value = 1.2
    # folded noise gives growth-ring like lines
    k = m.node("ShaderNodeMath", operation="MULTIPLY")
    m.link(wv.outputs["Fac"], k.inputs[0])
    k.inputs[1].default_value = 7.0
    fr = m.node("ShaderNodeMath", operation="PINGPONG")
    m.link(k.outputs[0], fr.inputs[0])
    fr.inputs[1].default_value = 0.5
    ring = m.ramp(fr.outputs[0], [(0.0, 0.0), (0.32, 0.65), (0.5, 1.0)])
    fine_st = tuple(s * f for s, f in zip(st, [(0.35 if s == min(st) else 9) for s in st]))
    fine = m.noise(7.0, 4, 0.6, stretch=fine_st)
    mixf = m.mix(0.45, ring, m.ramp(fine, [(0.3, 0.0), (0.7, 1.0)]))
    mixf = m.mix(0.3, mixf, m.ramp(warp, [(0.3, 0.0), (0.7, 1.0)]))
    m.set(color=m.ramp(mixf, [(0.1, dark), (0.85, light)]),
          rough=m.ramp(fine, [(0.3, rough + 0.1), (0.7, rough - 0.04)]),
          normal=m.bump(fine, bump, 0.02))
    return m


def plaster(name, color, rough=0.85, bump=0.25):
    m = Mat(name, rough=rough, spec=0.2)
    a = m.ramp(m.noise(0.35, 5, 0.55), [(0.3, 0.0), (0.7, 1.0)])
    c = lin(color)[:3]
    m.set(color=m.mix(a, tuple(x * 0.90 for x in c) + (1,), tuple(min(1, x * 1.05) for x in c) + (1,)),
          normal=m.bump(m.noise(5.5, 6, 0.6), bump, 0.05,
                        after=m.bump(m.noise(0.9, 3), bump * 0.6, 0.2)))
    return m


def paper(name, color, gain=1.0):
    m = Mat(name, color=lin(color, gain), rough=0.9, spec=0.15)
    m.set(normal=m.bump(m.noise(40, 3), 0.03, 0.01))
    return m


def brass(name="brass", rough=0.24):
    m = Mat(name, color="#C79A5B", metal=1.0, rough=rough)
    m.set(rough=m.ramp(m.noise(11, 4), [(0.3, rough - 0.05), (0.7, rough + 0.1)]))
    return m


# ---------------------------------------------------------------- props
def mug(mat, r=0.40, h=0.82, inside=None, coffee=None, fill=0.8, handle=True, name="mug"):
    t = 0.035
    obs = [lathe(name, [(0.0, 0.02), (r * 0.72, 0.02, 0.01), (r * 0.74, 0.0, 0.01),
                        (r * 0.80, 0.0, 0.02), (r * 0.97, 0.12 * h, 0.16 * h), (r, h, t * 0.49),
                        (r - t, h, t * 0.49), (r - t, 0.09, 0.13 * h), (0.0, 0.09)],
                 mat.m, 128, 0.025)]
    if handle:
        zc, hh = h * 0.50, h * 0.30
        path = catmull([(r - 0.03, 0, zc + hh), (r + 0.12, 0, zc + hh + 0.01),
                        (r + 0.235, 0, zc + hh * 0.45), (r + 0.225, 0, zc - hh * 0.25),
                        (r + 0.10, 0, zc - hh * 0.85), (r - 0.04, 0, zc - hh)], 70)
        obs.append(sweep(name + "-h", path, lambda s: (
            0.062 * (1 + 0.35 * (abs(2 * s - 1) ** 6)), 0.036 * (1 + 0.7 * (abs(2 * s - 1) ** 6)), 2.3),
            mat.m, 32))
    if coffee:
        rr = r - t - 0.002
        obs.append(lathe(name + "-c", [(0, h * fill), (rr - 0.03, h * fill, 0.02), (rr, h * fill + 0.012)],
                         coffee.m, 96))
    return obs


def coffee_mat():
    m = Mat("coffee", color="#1a0b05", rough=0.08, spec=0.5)
    return m
