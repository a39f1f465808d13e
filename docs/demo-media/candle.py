"""The pair for the overlay brief: a candle in amber glass and a hand wash.

blender -b -P docs/demo-media/candle.py -- [candle] [handwash] [pair] [scale=0.5]
"""
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from studio import *  # noqa: E402,F403
import studio as st  # noqa: E402


def glass(name, color, rough=0.02):
    """tinted glass that lets light through to what is inside (tinted shadows)."""
    m = Mat(name, color=color, rough=rough, trans=1.0, ior=1.45)
    lp = m.node("ShaderNodeLightPath")
    tr = m.node("ShaderNodeBsdfTransparent")
    c = lin(color)
    tr.inputs[0].default_value = tuple(x ** 0.7 for x in c[:3]) + (1,)
    mx = m.node("ShaderNodeMixShader")
    m.link(lp.outputs["Is Shadow Ray"], mx.inputs[0])
    m.link(m.p.outputs[0], mx.inputs[1])
    m.link(tr.outputs[0], mx.inputs[2])
    m.link(mx.outputs[0], m.out.inputs[0])
    return m


def wrap_label(image, r, z0, z1, half_deg, name="label", tilt=0.0):
    """a paper label bent round a cylinder, facing -Y, standing a hair off it."""
    m = Mat(name, rough=0.82, spec=0.2)
    uv = m.node("ShaderNodeUVMap")
    im = m.node("ShaderNodeTexImage")
    im.image = bpy.data.images.load(os.path.join(st.TEX, image))
    m.link(uv.outputs[0], im.inputs[0])
    m.set(color=im.outputs["Color"], normal=m.bump(m.noise(55, 4), 0.10, 0.008))
    n, k = 96, 10
    vs, fs, uvs = [], [], []
    hw = math.radians(half_deg)
    for i in range(n + 1):
        u = i / n
        t = -math.pi / 2 - hw + 2 * hw * u
        for j in range(k + 1):
            v = j / k
            vs.append((r * math.cos(t), r * math.sin(t), z0 + (z1 - z0) * v))
            uvs.append((u, v))
    for i in range(n):
        for j in range(k):
            a = i * (k + 1) + j
            fs.append((a, a + k + 1, a + k + 2, a + 1))
    ob = mesh(name, vs, fs, m.m, uvs=uvs)
    return ob


def candle(loc=(0, 0, 0), rot_z=0.0, lit=True, subject=True):
    amber = glass("amber", "#C4702A")
    wax = Mat("wax", color="#F3E4C8", rough=0.45, sss=0.35, sss_radius=(0.12, 0.07, 0.04), spec=0.35)
    if "Subsurface Scale" in wax.p.inputs:
        wax.set(sss_scale=1.0)
    wax.set(normal=wax.bump(wax.noise(3, 3), 0.06, 0.03))
    wick = Mat("wick", color="#2a1c14", rough=0.9)
    R, H, t = 0.44, 0.98, 0.030
    wz = 0.615
    obs = [
        lathe("jar", [(0.0, 0.018), (R * 0.70, 0.012, 0.02), (R * 0.80, 0.0, 0.02), (R, 0.0, 0.075),
                      (R, H, t * 0.49), (R - t, H, t * 0.49), (R - t, 0.085, 0.06), (0.0, 0.075)],
              amber.m, 200, 0.02),
        lathe("wax", [(0.0, 0.083), (R - t - 0.006, 0.09, 0.05), (R - t - 0.006, wz + 0.012, 0.012),
                      (R - t - 0.045, wz - 0.002, 0.03), (0.0, wz - 0.006)], wax.m, 160, 0.02),
        wrap_label("label_candle.png", R + 0.0025, 0.115, 0.115 + 620 / 1100 * 2 * math.radians(50) * R, 50),
    ]
    wp = catmull([(0, 0, wz - 0.02), (0.002, 0, wz + 0.04), (0.008, 0, wz + 0.07), (0.016, 0.004, wz + 0.085)], 30)
    obs.append(sweep("wick", wp, lambda s: (0.011, 0.011, 2.0), wick.m, 12))
    if lit:
        fl = Mat("flame")
        em = fl.node("ShaderNodeEmission")
        tex = fl.node("ShaderNodeSeparateXYZ")
        fl.link(fl.coord.outputs["Generated"], tex.inputs[0])
        col = fl.ramp(tex.outputs["Z"], [(0.0, (0.25, 0.28, 0.9, 1)), (0.16, (1.0, 0.36, 0.06, 1)),
                                         (0.45, (1.0, 0.62, 0.2, 1)), (1.0, (1.0, 0.50, 0.10, 1))])
        fl.link(col, em.inputs[0])
        stg = fl.ramp(tex.outputs["Z"], [(0.0, 0.1), (0.2, 0.55), (0.55, 1.0), (1.0, 0.7)])
        mul = fl.node("ShaderNodeMath", operation="MULTIPLY")
        fl.link(stg, mul.inputs[0])
        mul.inputs[1].default_value = 7.0
        fl.link(mul.outputs[0], em.inputs[1])
        lw = fl.node("ShaderNodeLayerWeight")
        lw.inputs[0].default_value = 0.35
        tr = fl.node("ShaderNodeBsdfTransparent")
        mx = fl.node("ShaderNodeMixShader")
        fl.link(fl.ramp(lw.outputs["Facing"], [(0.25, 0.0), (0.95, 1.0)]), mx.inputs[0])
        fl.link(em.outputs[0], mx.inputs[1])
        fl.link(tr.outputs[0], mx.inputs[2])
        fl.link(mx.outputs[0], fl.out.inputs[0])
        fz = wz + 0.060
        fl_h, fl_r = 0.215, 0.040
        prof = [(fl_r * 1.52 * math.sin(math.pi * u) ** 0.75 * (1 - u) ** 0.62, fz - 0.01 + fl_h * u)
                for u in np.linspace(0, 1, 40)]
        fo = lathe("flame", prof, fl.m, 48, 0.02, (0.016, 0.003, 0))
        obs.append(fo)
        li = bpy.data.lights.new("glow", "POINT")
        li.energy = 2.2
        li.color = (1.0, 0.52, 0.18)
        li.shadow_soft_size = 0.05
        lo = bpy.data.objects.new("glow", li)
        lo.location = (0.02, 0, fz + 0.10)
        lo.visible_camera = lo.visible_glossy = lo.visible_transmission = False
        bpy.context.collection.objects.link(lo)
        obs.append(lo)
    g = group(obs, loc, rot_z)
    for o in obs:
        if subject and o.type == "MESH":
            o["subject"] = 1
    return g


def handwash(loc=(0, 0, 0), rot_z=0.0, subject=True):
    clay = glaze("stone", "#EADCC6", rough=0.5, fleck="#7a5a40")
    clay.set(coat=0.08)
    pump = Mat("pump", color="#2b241f", rough=0.38, spec=0.5)
    gold = brass(rough=0.22)
    R, H = 0.40, 1.16
    obs = [
        lathe("bottle", [(0, 0.02), (R * 0.8, 0.02, 0.01), (R * 0.84, 0.0, 0.015), (R, 0.0, 0.05), (R, H, 0.17),
                         (0.165, H + 0.02, 0.06), (0.165, H + 0.13)], clay.m, 180, 0.02),
        lathe("collar", [(0.12, H + 0.05), (0.195, H + 0.05, 0.012), (0.195, H + 0.20, 0.02), (0.10, H + 0.205, 0.01),
                         (0.075, H + 0.24, 0.02), (0.05, H + 0.25)], gold.m, 128, 0.012),
        lathe("stem", [(0.036, H + 0.2), (0.036, H + 0.44)], pump.m, 48),
        lathe("cap", [(0.0, H + 0.40), (0.085, H + 0.40, 0.02), (0.098, H + 0.52, 0.03), (0.0, H + 0.53)], pump.m, 72, 0.01),
        wrap_label("label_wash.png", R + 0.0025, 0.27, 0.27 + 0.76 * 2 * math.radians(50) * R, 50, "label2"),
    ]
    np_ = catmull([(0.0, 0, H + 0.475), (0.15, 0, H + 0.478), (0.30, 0, H + 0.474), (0.40, 0, H + 0.45), (0.435, 0, H + 0.40)], 80)
    obs.append(sweep("nozzle", np_, lambda t: (0.060 - 0.022 * t, 0.040 - 0.008 * t, 2.6), pump.m, 40))
    return group(obs, loc, rot_z, 1.0, subject)


def cut_lights(env=0.75):
    world("#F6E7D2", env)
    softbox("key", (-4.0, -2.6, 3.8), (0, 0, 0.6), (2.2, 3.4), 270)
    softbox("rimL", (-3.0, 2.6, 1.8), (0, 0, 0.6), (0.8, 4.0), 150, "#FFEBD4")
    softbox("rimR", (3.2, 1.9, 1.8), (0, 0, 0.6), (0.8, 4.0), 210, "#FFE2C4")
    softbox("top", (0, 0.2, 5.0), (0, 0, 0.6), (2.4, 2.4), 90)


def candle_cut(scale, samples):
    reset()
    cut_lights()
    candle(rot_z=4)
    camera((0, -8.0, 2.25), (0, 0, 0.49), 205, (0, -0.4, 0.5), None)
    render("candle", (1200, 1320), scale, samples or 48, transparent=True, exposure=-0.1)


def handwash_cut(scale, samples):
    reset()
    cut_lights(0.45)
    handwash(rot_z=5)
    camera((0, -8.0, 1.75), (0, 0, 0.815), 146, (0, -0.4, 0.5), None)
    render("handwash", (1200, 1800), scale, samples or 36, transparent=True, exposure=-0.1)


def pair(scale, samples):
    reset()
    world("#F3DCC6", 0.16)
    cyc(paper("paper", "#2F4B3C").m, y0=4.6, radius=3.4)
    pm = plaster("plinth", "#39584A", bump=0.10)
    lathe("plinth", [(0, 0.24), (1.46, 0.24, 0.03), (1.46, 0.0, 0.01), (1.4, 0.0)], pm.m, 220, 0.05)
    handwash((-0.48, 0.20, 0.24), rot_z=8)
    candle((0.52, -0.28, 0.24), rot_z=10)
    softbox("key", (-5.0, -2.6, 4.6), (0, 0, 0.8), (2.8, 3.2), 400)
    softbox("top", (0.5, 1.6, 6.0), (0, 0.2, 0.3), (4, 2.5), 150)
    softbox("rim", (5.0, 2.2, 2.8), (0, 0, 0.8), (1.0, 4.0), 230, "#FFE2C4")
    softbox("wash", (-4.0, 0.4, 5.4), (0.6, 4.6, 2.4), (2.0, 2.0), 170, "#FFE9D2", spread=100)
    camera((0, -9.5, 2.55), (0.02, 0, 0.98), 108, (0, -0.5, 0.7), 0.5)
    render("pair", (1500, 1500), scale, samples or 28, exposure=-0.1)


SHOTS = {"candle": candle_cut, "handwash": handwash_cut, "pair": pair}

if __name__ == "__main__":
    names, sc, sm = args()
    for n in names or SHOTS:
        SHOTS[n](sc, sm)
