"""The meme pictures: a tower of mugs on a Monday, and a cactus that has had enough.

blender -b -P docs/demo-media/monday.py -- [mugs] [cactus] [scale=0.5]
"""
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from studio import *  # noqa: E402,F403
import studio as st  # noqa: E402
from kettle import kettle, oak_table  # noqa: E402


def calendar(loc, rot_z):
    w = wood("calwood", "#6b3f22", "#b57a47", axis="x", rings=5, scale=2.0)
    img = Mat("leaf", rough=0.85, spec=0.2)
    uv = img.node("ShaderNodeUVMap")
    im = img.node("ShaderNodeTexImage")
    im.image = bpy.data.images.load(os.path.join(st.TEX, "calendar.png"))
    img.link(uv.outputs[0], im.inputs[0])
    img.set(color=im.outputs["Color"])
    page = Mat("pages", color="#F1E8DA", rough=0.9)
    s = 0.78
    lean = math.radians(-10)
    a = box("base", (1.0, 0.42, 0.10), (0, 0.08, 0.05), w.m, 0.02)
    b = box("block", (s, 0.10, s), (0, 0.07, 0.10 + s / 2), page.m, 0.008, (lean, 0, 0))
    ob = mesh("sheet", [(-s / 2, 0, -s / 2), (s / 2, 0, -s / 2), (s / 2, 0, s / 2), (-s / 2, 0, s / 2)],
              [(0, 1, 2, 3)], img.m, False, [(0, 0), (1, 0), (1, 1), (0, 1)])
    ob.location = (0, 0.07 - 0.0525 * math.cos(lean), 0.10 + s / 2 - 0.0525 * math.sin(lean))
    ob.rotation_euler = (lean, 0, 0)
    return group([a, b, ob], loc, rot_z)


def mugs(scale, samples):
    reset()
    world("#EBD9C4", 0.40)
    wall = plaster("wall", "#D9A88A")
    mesh("wall", [(-20, 3.0, -4), (20, 3.0, -4), (20, 3.0, 16), (-20, 3.0, 16)], [(0, 1, 2, 3)], wall.m)
    oak_table(y_back=2.95)
    cols = ["#EFE3D0", "#C55A3E", "#345443", "#D9A24A", "#F0E6D6", "#B9664C", "#8FA08A", "#EBD3BD", "#C55A3E"]
    lean = [(0, 0), (2.0, 20), (4.0, 350), (3.6, 15), (5.0, 185), (6.0, 170), (5.0, 195), (2.5, 200), (8.0, 10)]
    turn = [200, 330, 215, 25, 160, -30, 205, 340, 190]
    h, r = 0.70, 0.42
    M = Matrix.Translation((-1.10, 0.1, 0))
    for i, c in enumerate(cols):
        g = glaze(f"mug{i}", c, fleck="#4d3326")
        e = group(mug(g, r=r, h=h, name=f"mug{i}"), subject=True)
        ax = Vector((math.cos(math.radians(lean[i][1] + 90)), math.sin(math.radians(lean[i][1] + 90)), 0))
        M = M @ Matrix.Rotation(math.radians(lean[i][0]), 4, ax)
        e.matrix_world = M @ Matrix.Rotation(math.radians(turn[i]), 4, "Z")
        M = M @ Matrix.Translation((0, 0, h - 0.055))
    tiny = glaze("tiny", "#F4EDE2")
    group(mug(tiny, r=0.42, h=0.66, coffee=coffee_mat(), fill=0.86, name="tiny"), (-0.12, -0.75, 0), rot_z=-30, scale=0.44, subject=True)
    kettle((1.16, 0.45, 0), rot_z=186, stamp=176, scale=0.86)
    softbox("key", (-5.0, -3.6, 5.6), (0, 0, 1.8), (2.6, 3.2), 640)
    softbox("fill", (5.0, -4.0, 4.0), (0, 0, 1.6), (4, 4), 130, "#FFF1E0")
    softbox("top", (0.5, 0.2, 9.0), (0, 0.2, 2.0), (4, 3), 220)
    camera((0.1, -15.0, 3.3), (0.02, 0, 2.76), 73, (-0.5, -0.3, 2.0), 0.8)
    render("mugs", (1500, 1875), scale, samples or 20, exposure=0.0)


def cactus_plant(loc, rot_z=0.0):
    skin = Mat("cactus", rough=0.55, spec=0.35, sss=0.05)
    sk = skin.ramp(skin.noise(3.0, 4), [(0.3, "#3F6B4A"), (0.7, "#6E9160")])
    skin.set(color=sk, normal=skin.bump(skin.noise(22, 3), 0.12, 0.01))
    spine = Mat("spine", color="#F3E6C8", rough=0.6)
    pot = Mat("pot", rough=0.75, spec=0.25)
    pot.set(color=pot.ramp(pot.noise(2.0, 5), [(0.3, "#B5573A"), (0.7, "#CC7450")]),
            normal=pot.bump(pot.noise(9, 5, stretch=(1, 1, 3)), 0.15, 0.02))
    soil = Mat("soil", color="#2c1d14", rough=1.0)
    soil.set(normal=soil.bump(soil.noise(26, 5), 0.9, 0.05))
    petal = Mat("petal", color="#E88C7D", rough=0.6, sss=0.15)
    obs = [
        lathe("pot", [(0, 0.02), (0.30, 0.02, 0.01), (0.32, 0.0, 0.02), (0.41, 0.50, 0.02), (0.47, 0.50, 0.02), (0.49, 0.68, 0.02),
                      (0.435, 0.68, 0.02), (0.42, 0.56, 0.02), (0.0, 0.55)], pot.m, 160, 0.02),
        lathe("soil", [(0, 0.61), (0.25, 0.60), (0.43, 0.585)], soil.m, 96, 0.02),
        lathe("saucer", [(0, 0.0), (0.46, 0.0, 0.02), (0.52, 0.07, 0.02), (0.49, 0.07, 0.015), (0.44, 0.03, 0.02), (0, 0.03)],
              pot.m, 128, 0.02),
    ]
    for o in (obs[0], obs[1]):
        o.location.z = 0.03

    def limb(points, r, n, ribs, amp, taper=0.0, root=0.02):
        path = catmull(points, n)
        tan = np.gradient(path, axis=0)
        tan /= np.linalg.norm(tan, axis=1)[:, None]
        K = ribs * 10
        vs, fs, sp_v, sp_f = [], [], [], []
        for i in range(n):
            t = i / (n - 1)
            b = np.array((0, 1.0, 0)) - tan[i] * tan[i][1]
            b /= np.linalg.norm(b)
            nm = np.cross(tan[i], b)
            L = len(path)
            tip = min(0.45, 1.5 * r / (np.linalg.norm(np.diff(path, axis=0), axis=1).sum()))
            s = round_end(t, 0, tip) * (1 - taper * t)
            if root and t < root:
                s *= 0.85
            for k in range(K):
                a = 2 * math.pi * k / K
                rib = 1 + amp * (abs(math.cos(ribs * a / 2)) - 0.6)
                d = b * math.cos(a) + nm * math.sin(a)
                vs.append(path[i] + d * r * s * rib)
                if k % 10 == 0 and i % 6 == (3 if (k // 10) % 2 else 0) and 2 < i < n - 3:
                    base = path[i] + d * r * s * rib
                    for q in range(5):
                        an = 2 * math.pi * q / 5 + 0.3
                        side = np.cross(d, tan[i])
                        dirn = d * 0.75 + 0.75 * (tan[i] * math.cos(an) + side * math.sin(an))
                        dirn /= np.linalg.norm(dirn)
                        o1 = np.cross(dirn, d + 0.01)
                        o1 /= np.linalg.norm(o1)
                        o2 = np.cross(dirn, o1)
                        j = len(sp_v)
                        w, ln = 0.0045, 0.055
                        sp_v += [base + o1 * w, base - o1 * w * .5 + o2 * w, base - o1 * w * .5 - o2 * w, base + dirn * ln]
                        sp_f += [(j, j + 1, j + 3), (j + 1, j + 2, j + 3), (j + 2, j, j + 3)]
        for i in range(n - 1):
            for k in range(K):
                l = (k + 1) % K
                fs.append((i * K + k, i * K + l, (i + 1) * K + l, (i + 1) * K + k))
        ob = mesh("limb", vs, fs, skin.m)
        import bmesh
        bm = bmesh.new()
        bm.from_mesh(ob.data)
        bmesh.ops.recalc_face_normals(bm, faces=bm.faces)
        bm.to_mesh(ob.data)
        bm.free()
        obs.append(ob)
        obs.append(mesh("spines", sp_v, sp_f, spine.m, smooth=False))
        return path, tan

    path, tan = limb([(0, 0, 0.58), (-0.03, 0, 0.95), (-0.02, 0, 1.35), (0.10, 0, 1.70), (0.36, 0, 1.85), (0.62, 0, 1.70),
                      (0.74, 0, 1.40), (0.76, 0, 1.18)], 0.215, 130, 11, 0.22)
    limb([(-0.10, -0.02, 1.12), (-0.33, -0.03, 1.17), (-0.50, -0.05, 1.10), (-0.57, -0.07, 0.92), (-0.58, -0.08, 0.72)],
         0.105, 60, 9, 0.22)

    def flower(p, d, scale=1.0, n=9):
        d = np.array(d, float)
        d /= np.linalg.norm(d)
        a = np.cross(d, (0, 1, 0.1))
        a /= np.linalg.norm(a)
        b = np.cross(d, a)
        for ring, (ln, up, off) in enumerate(((0.16, 0.35, 0), (0.12, 0.9, 0.35))):
            for q in range(n):
                an = 2 * math.pi * q / n + off
                rd = a * math.cos(an) + b * math.sin(an)
                tg = np.cross(d, rd)
                vs, fs = [], []
                for i in range(9):
                    s = i / 8
                    w = 0.038 * math.sin(math.pi * (0.12 + 0.88 * s) ** 0.9) * scale
                    c = np.array(p) + scale * (rd * ln * s + d * (ln * up * s + 0.03 * s * s))
                    vs += [c - tg * w + d * 0.012 * scale, c, c + tg * w + d * 0.012 * scale]
                for i in range(8):
                    for j in range(2):
                        fs.append((3 * i + j, 3 * i + j + 1, 3 * i + j + 4, 3 * i + j + 3))
                o = mesh("petal", vs, fs, petal.m)
                m = o.modifiers.new("t", "SOLIDIFY")
                m.thickness = 0.006
                obs.append(o)

    flower(path[-1] - tan[-1] * 0.01, tan[-1], 1.0)
    g = group(obs, loc, rot_z, 1.0, True)
    # one petal that has already given up
    for k, (x, y, rz) in enumerate(((0.80, -0.12, 20), (0.98, 0.10, 130))):
        vs, fs = [], []
        for i in range(9):
            s = i / 8
            w = 0.04 * math.sin(math.pi * (0.12 + 0.88 * s) ** 0.9)
            z = 0.010 + 0.05 * (s - 0.5) ** 2
            vs += [(0.17 * s, -w, z + 0.012), (0.17 * s, 0, z), (0.17 * s, w, z + 0.012)]
        for i in range(8):
            for j in range(2):
                fs.append((3 * i + j, 3 * i + j + 1, 3 * i + j + 4, 3 * i + j + 3))
        o = mesh("fallen", vs, fs, petal.m)
        o.modifiers.new("t", "SOLIDIFY").thickness = 0.006
        o.location = (loc[0] + x, loc[1] + y, 0)
        o.rotation_euler = (0, 0, math.radians(rz))
    return g


def cactus(scale, samples):
    reset()
    world("#EBD9C4", 0.36)
    wall = plaster("wall", "#E3C3A2")
    mesh("wall", [(-20, 2.6, -4), (20, 2.6, -4), (20, 2.6, 16), (-20, 2.6, 16)], [(0, 1, 2, 3)], wall.m)
    oak_table(y_back=2.55)
    cactus_plant((-0.55, 0.0, 0), rot_z=0)
    calendar((1.02, 0.45, 0), rot_z=-14)
    softbox("key", (-4.6, -3.2, 4.4), (0, 0, 0.9), (2.4, 2.8), 400)
    softbox("fill", (5.0, -4.0, 3.0), (0, 0, 0.9), (4, 4), 90, "#FFF1E0")
    softbox("top", (0.5, 0.8, 6.0), (0, 0.2, 0.8), (3, 2.4), 130)
    camera((0.10, -10.5, 2.25), (0.17, 0, 1.26), 92, (-0.3, -0.2, 1.2), 0.5)
    render("cactus", (1500, 1500), scale, samples or 22, exposure=0.0)


SHOTS = {"mugs": mugs, "cactus": cactus}

if __name__ == "__main__":
    names, sc, sm = args()
    for n in names or SHOTS:
        SHOTS[n](sc, sm)
