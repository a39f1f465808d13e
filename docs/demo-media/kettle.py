"""The pour-over kettle: front, detail, table, wide.

blender -b -P docs/demo-media/kettle.py -- [shots] [scale=0.5] [samples=64]
"""
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from studio import *  # noqa: E402,F403
import studio as st  # noqa: E402


def kettle(loc=(0, 0, 0), rot_z=0.0, color=st.GREEN, stamp=True, grip=None, scale=1.0, subject=True):
    body = enamel("enamel", color, rough=0.34)
    plain = enamel("enamel2", color, rough=0.34)
    gold = brass()
    oak = grip or wood("grip", "#6b3f22", "#b57a47", axis="z", rings=6, rough=0.38, coat=0.15, scale=2.2)
    knobw = wood("knobw", "#6b3f22", "#b57a47", axis="z", rings=6, rough=0.38, coat=0.15, scale=2.2)
    steel = Mat("steel", color="#9b958d", metal=1.0, rough=0.3)
    dark = Mat("inner", color="#241d18", rough=0.5)
    obs = []
    base_r, top_r, top_z = 0.79, 0.555, 1.14
    prof = [(0.0, 0.035), (0.70, 0.035, 0.01), (0.73, 0.018, 0.015), (base_r, 0.018, 0.055),
            (top_r + 0.018, top_z - 0.06, 0.10), (0.50, top_z + 0.005, 0.05), (0.462, top_z + 0.012, 0.008),
            (0.452, top_z - 0.02, 0.006), (0.452, top_z - 0.20)]
    b = lathe("body", prof, body.m, 200, 0.025)
    obs.append(b)
    obs.append(lathe("foot", [(0.0, 0.0), (0.70, 0.0, 0.01), (0.715, 0.01, 0.004), (0.715, 0.04)], steel.m))
    # brass ring and lid
    obs.append(lathe("ring", [(0.440, top_z - 0.02), (0.449, top_z + 0.012, 0.006), (0.449, top_z + 0.026, 0.007),
                              (0.425, top_z + 0.030, 0.006), (0.415, top_z + 0.01)], gold.m, 160, 0.01))
    lid = lathe("lid", [(0.428, top_z + 0.0), (0.428, top_z + 0.028, 0.014), (0.40, top_z + 0.040, 0.03),
                        (0.22, top_z + 0.085, 0.15), (0.0, top_z + 0.095)], plain.m, 160, 0.02)
    obs.append(lid)
    kz = top_z + 0.09
    obs.append(lathe("stem", [(0.075, kz - 0.02), (0.075, kz + 0.012, 0.008), (0.045, kz + 0.022, 0.01),
                              (0.042, kz + 0.06)], gold.m, 64, 0.008))
    obs.append(lathe("knob", [(0.0, kz + 0.045), (0.062, kz + 0.045, 0.015), (0.112, kz + 0.13, 0.10),
                              (0.118, kz + 0.215, 0.035), (0.0, kz + 0.222)], knobw.m, 96, 0.012))
    # gooseneck
    sp = catmull([(0.60, 0, 0.245), (0.74, 0, 0.262), (0.90, 0, 0.315), (1.05, 0, 0.45), (1.125, 0, 0.67),
                  (1.17, 0, 0.92), (1.255, 0, 1.125), (1.39, 0, 1.225), (1.53, 0, 1.225), (1.60, 0, 1.195)], 240)

    def neck(t):
        r = 0.050 + 0.058 * (1 - t) ** 1.5
        r += 0.10 * math.exp(-max(0.0, t - 0.045) / 0.035)   # weld fillet at the body
        r += 0.007 * max(0.0, (t - 0.975) / 0.025) ** 2       # a slightly flared lip
        return (r, r, 2.0)

    obs.append(sweep("spout", sp, neck, plain.m, 56, caps=False))
    # the open mouth: a rolled lip and a dark inner wall
    tan = sp[-1] - sp[-3]
    tan /= np.linalg.norm(tan)
    lip = np.array([sp[-1] + tan * d for d in (-0.0005, 0.004, 0.0065, 0.004, -0.002)])
    rr = (0.057, 0.0562, 0.0525, 0.0485, 0.0475)
    lr = iter(rr)
    vs, fs, k = [], [], 56
    nn = np.cross(tan, (0, 1, 0))
    for c, r in zip(lip, lr):
        for i in range(k):
            t = 2 * math.pi * i / k
            vs.append(c + r * (math.cos(t) * np.array((0, 1, 0)) + math.sin(t) * nn))
    for j in range(4):
        for i in range(k):
            fs.append((j * k + i, j * k + (i + 1) % k, (j + 1) * k + (i + 1) % k, (j + 1) * k + i))
    obs.append(mesh("lip", vs, fs, plain.m))
    obs.append(sweep("mouth", sp[-50:], lambda t: (0.0475, 0.0475, 2.0), dark.m, 40, caps=False))
    # handle: enamelled steel arm, brass ferrule, wooden grip with a free end
    hp = catmull([(-0.50, 0, 0.97), (-0.66, 0, 1.05), (-0.85, 0, 1.135), (-1.05, 0, 1.15), (-1.205, 0, 1.05),
                  (-1.262, 0, 0.86), (-1.245, 0, 0.62), (-1.20, 0, 0.36)], 260)
    cut = 96

    def arm(t):
        f = math.exp(-max(0.0, t - 0.20) / 0.10)
        return (0.052 + 0.07 * f, 0.036 + 0.075 * f, 2.4)

    obs.append(sweep("arm", hp[:cut + 4], arm, plain.m, 48))
    obs.append(sweep("ferrule", hp[cut - 4:cut + 5], lambda t: (
        0.064 - 0.008 * abs(2 * t - 1) ** 4, 0.050 - 0.008 * abs(2 * t - 1) ** 4, 2.4), gold.m, 48))

    def gripf(t):
        s = round_end(t, 0.012, 0.075)
        k = math.sin(math.pi * (0.06 + 0.80 * t))
        return ((0.062 + 0.026 * k) * s, (0.047 + 0.022 * k) * s, 2.5)

    gp = hp[cut + 4:]
    obs.append(sweep("grip", gp, gripf, oak.m, 56))
    g = group(obs, loc, rot_z, scale, subject)
    if stamp:
        e = bpy.data.objects.new("stamp", None)
        bpy.context.collection.objects.link(e)
        e.parent = g
        # the print sits on the flank that looks at local -Y (turned by `stamp` degrees)
        a = math.radians(stamp if not isinstance(stamp, bool) else 0)
        e.rotation_euler = (0, 0, a)
        e.location = (0, 0, 0.52)
        e.scale = (0.60, 0.60, 0.60)
        mixed, fac = body.decal(body.tone, os.path.join(st.TEX, "stamp.png"), e)
        body.set(color=mixed)
    return g


def oak_table(y_back=2.2, depth=9.0, width=26, z=0.0, dark="#8a5a33", light="#c99762"):
    t = wood("oak", dark, light, axis="x", rings=1.5, rough=0.5, scale=0.75, bump=0.12)
    return box("table", (width, depth, 0.5), (0, y_back - depth / 2, z - 0.25), t.m, 0.04)


def window_gobo(sun_dir, at, cols=2, rows=3, pane=(1.35, 1.25), bar=0.16, dist=14, leaf=(-0.6, 1.6, 4.0), seed=3, roll=0.0):
    """a card with panes cut into it, between sun and set; casts a window on `at`."""
    m = Mat("flag", color="#101010", rough=1.0)
    obs = []
    d = Vector(sun_dir).normalized()
    c = Vector(at) - d * dist
    W = cols * pane[0] + (cols + 1) * bar
    H = rows * pane[1] + (rows + 1) * bar

    def slab(x0, x1, y0, y1):
        v = [(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)]
        obs.append(mesh("flag", v, [(0, 1, 2, 3)], m.m, smooth=False))

    big = 14
    slab(-big, -W / 2, -big, big)
    slab(W / 2, big, -big, big)
    slab(-W / 2, W / 2, H / 2, big)
    slab(-W / 2, W / 2, -big, -H / 2)
    for i in range(cols + 1):
        x = -W / 2 + i * (pane[0] + bar)
        slab(x, x + bar, -H / 2, H / 2)
    for j in range(rows + 1):
        y = -H / 2 + j * (pane[1] + bar)
        slab(-W / 2, W / 2, y, y + bar)
    if leaf:
        lx, ly, lz = leaf
        rng = np.random.default_rng(seed)
        stem = catmull([(lx - 2.4, ly - 1.9, lz), (lx - 1.1, ly - 0.55, lz), (lx, ly + 1.0, lz),
                        (lx + 0.45, ly + 2.4, lz)], 60)
        for i in range(4, 58, 4):
            p = stem[i]
            t = stem[i + 1] - stem[i]
            a0 = math.atan2(t[1], t[0])
            for sgn in (-1, 1):
                a = a0 + sgn * (0.75 + 0.2 * rng.random())
                L = 0.95 * (1 - 0.45 * i / 60) * (0.85 + 0.3 * rng.random())
                v = []
                for k in range(16):
                    s = k / 15
                    w = 0.17 * math.sin(math.pi * s ** 0.8) * L
                    v.append((p[0] + math.cos(a) * L * s - math.sin(a) * w,
                              p[1] + math.sin(a) * L * s + math.cos(a) * w, lz))
                for k in range(15, -1, -1):
                    s = k / 15
                    w = -0.17 * math.sin(math.pi * s ** 0.8) * L
                    v.append((p[0] + math.cos(a) * L * s - math.sin(a) * w,
                              p[1] + math.sin(a) * L * s + math.cos(a) * w, lz))
                obs.append(mesh("leaf", v, [tuple(range(32))], m.m, smooth=False))
    q = (-d).to_track_quat("Z", "Y")
    e = group(obs, c)
    e.rotation_euler = (q.to_matrix() @ Matrix.Rotation(roll, 3, "Z")).to_euler()
    for o in obs:
        o.visible_camera = False
        o.visible_glossy = False
        o.visible_diffuse = False
        o.visible_transmission = False
    return e


# ------------------------------------------------------------------ shots
CLAY = "#BA5E47"


def clay_set(plinth=True):
    world("#F3DCC6", 0.22)
    cyc(paper("paper", CLAY).m, y0=5.2, radius=4.0)
    if plinth:
        pm = plaster("plinth", "#C87659", bump=0.10)
        lathe("plinth", [(0, 0.30), (1.52, 0.30, 0.035), (1.52, 0.0, 0.01), (1.45, 0.0)], pm.m, 220, 0.05)


def front(scale, samples):
    reset()
    clay_set()
    kettle((-0.06, 0, 0.30), rot_z=-36, stamp=26)
    softbox("key", (-5.2, -2.6, 5.0), (0, 0, 0.7), (3.0, 3.4), 430)
    softbox("top", (0.5, 1.6, 6.5), (0, 0.2, 0.3), (4, 2.5), 170)
    softbox("rim", (5.5, 2.4, 3.2), (0, 0, 0.8), (1.2, 4.0), 230, "#FFE2C4")
    softbox("wash", (-4.5, 0.6, 6.0), (0.2, 5.2, 3.2), (2.4, 2.4), 165, "#FFE9D2", spread=100)
    camera((0, -11.0, 3.3), (0.0, 0, 1.93), 75, (0, -0.65, 0.8), 0.5)
    render("front", (1440, 1920), scale, samples or 20, exposure=0.0)


def detail(scale, samples):
    reset()
    clay_set(plinth=False)
    kettle((0, 0, 0), rot_z=38, stamp=-30)
    softbox("key", (-4.2, -2.8, 4.2), (0, 0, 0.9), (2.4, 3.2), 330)
    softbox("fill", (3.2, -4.2, 1.6), (0, 0, 0.8), (1.6, 2.6), 70, "#FFF4E6")
    softbox("top", (0.5, 1.4, 5.5), (0, 0.2, 0.9), (3.4, 2.0), 170)
    softbox("rim", (4.5, 2.8, 2.6), (0, 0, 0.9), (1.0, 3.6), 220, "#FFE2C4")
    softbox("wash", (-4.5, 0.6, 6.0), (0.2, 5.2, 3.2), (2.4, 2.4), 165, "#FFE9D2", spread=100)
    camera((0.40, -4.3, 2.70), (-0.10, 0, 1.50), 82, (0.0, -0.30, 1.2), 0.28)
    render("detail", (1440, 1920), scale, samples or 22, exposure=0.0)


def tray(loc, r=1.75):
    w = wood("walnut", "#3a2115", "#7c4c2c", axis="x", rings=2.2, rough=0.42, coat=0.1, scale=1.1)
    o = lathe("tray", [(0, 0.0), (r - 0.06, 0.0, 0.03), (r, 0.16, 0.03), (r - 0.055, 0.165, 0.02),
                       (r - 0.13, 0.055, 0.05), (0, 0.055)], w.m, 200, 0.03, loc)
    return o


def table(scale, samples):
    reset()
    world("#EBD9C4", 0.42)
    wall = plaster("wall", "#E9D6BE")
    mesh("wall", [(-20, 2.6, -4), (20, 2.6, -4), (20, 2.6, 16), (-20, 2.6, 16)], [(0, 1, 2, 3)], wall.m)
    oak_table(y_back=2.55)
    tray((0.0, 0, 0))
    kettle((-0.16, 0.25, 0.055), rot_z=-30, stamp=18)
    cup = glaze("cup", "#EFE3D0")
    group(mug(cup, r=0.33, h=0.62, coffee=coffee_mat(), fill=0.86), (0.86, -0.86, 0.055), rot_z=-28)
    sd = Vector((0.62, 0.86, -0.62))
    sun(sd, 5.5, angle=0.9, color="#FFDDB0")
    window_gobo(sd, (1.2, 2.6, 0.75), cols=4, rows=6, pane=(1.3, 1.45), bar=0.12, dist=10)
    softbox("fill", (-4.5, -4.0, 4.5), (0, 0, 0.6), (4, 4), 210, "#FFF1E0")
    softbox("rim", (4.5, 0.5, 3.5), (0, 0, 0.8), (1.4, 3), 70, "#FFE2C4")
    camera((0.15, -11.2, 3.0), (0.05, 0, 1.80), 72, (0, -0.5, 0.6), 0.55)
    render("table", (1440, 1920), scale, samples or 32, exposure=0.0)


def wide(scale, samples):
    reset()
    world("#EBD9C4", 0.42)
    wall = plaster("wall", "#B9694C")
    mesh("wall", [(-30, 3.2, -4), (30, 3.2, -4), (30, 3.2, 18), (-30, 3.2, 18)], [(0, 1, 2, 3)], wall.m)
    oak_table(y_back=3.15, width=40)
    kettle((1.15, 0.2, 0), rot_z=188, stamp=172)
    cup = glaze("cup", "#EFE3D0")
    cup2 = glaze("cup2", "#C9694A", fleck="#5a2c1c")
    group(mug(cup, r=0.33, h=0.62, coffee=coffee_mat(), fill=0.82), (-0.75, -0.75, 0.0), rot_z=200)
    group(mug(cup2, r=0.33, h=0.62), (-1.75, 0.9, 0.0), rot_z=160)
    sd = Vector((0.66, 0.84, -0.60))
    sun(sd, 5.5, angle=0.9, color="#FFDDB0")
    window_gobo(sd, (1.2, 3.2, 0.3), cols=4, rows=5, pane=(1.35, 1.45), bar=0.12, dist=10)
    softbox("fill", (-4.5, -4.5, 4.5), (0, 0, 0.6), (4, 4), 300, "#FFF1E0")
    camera((0, -12.0, 2.4), (0.0, 0, 1.25), 68, (1.1, -0.5, 0.6), 0.6)
    render("wide", (1920, 1280), scale, samples or 32, exposure=0.0)


SHOTS = {"front": front, "detail": detail, "table": table, "wide": wide}

if __name__ == "__main__":
    names, sc, sm = args()
    for n in names or SHOTS:
        SHOTS[n](sc, sm)
