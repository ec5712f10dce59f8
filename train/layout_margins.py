# SPDX-License-Identifier: Apache-2.0
"""What stands around the text of a sheet: head, foot, page number, text in the margin, footnotes, watermark. A part of layout_sheet.Sheet."""
from PIL import Image, ImageDraw


class Margins:
    def page_number(self):
        rng = self.rng
        return rng.choice((str(rng.randint(1, 900)),) * 8 + (f"– {rng.randint(1, 99)} –", f"Page {rng.randint(1, 99)}", f"{rng.randint(1, 50)} / {rng.randint(50, 99)}",
                           rng.choice(("iv", "xii", "ix", "vii")), f"{rng.choice('ABC')}-{rng.randint(1, 30)}"))

    def across(self, margin, place):
        return {"left": margin, "middle": self.width / 2, "right": self.width - margin}[place]

    def put_header(self, margin, top):
        """The head of the page; tells whether it has the page number."""
        rng, size, y = self.rng, self.size * self.rng.uniform(0.75, 1), top * self.rng.uniform(0.3, 0.6)
        numbered, places = rng.random() < 0.35, ["left", "middle", "right"]
        rng.shuffle(places)
        if rng.random() < 0.6:
            if rng.random() < 0.16:
                high = top * 0.5
                wide = high * rng.uniform(1, 4)
                self.put_logo(rng.choice((margin, self.width - margin - wide)), top * 0.2, wide, high, "header_image")
                numbered = False
            else:
                text = self.phrase(2, 9)[:70]
                text = self.cut(text.upper() if rng.random() < 0.2 else text, self.face(size), (self.width - 2 * margin) * 0.6)
                items = [(places[0], text, "header", rng.choice(("regular", "regular", "italic")))]
                if places[0] != "middle" and "middle" in places[1:]:
                    places = [places[0], "right" if places[0] == "left" else "left"]
                if numbered:
                    items.append((places[1], self.page_number(), "number", "regular"))
                elif rng.random() < 0.3 and places[0] != "middle":
                    items.append((places[1], self.phrase(1, 2)[:20], "header", "regular"))
                order = ("left", "middle", "right")
                if {item[0] for item in items} in ({"middle", "left"}, {"middle", "right"}):
                    items[0] = (items[0][0],) + (items[0][1][:30],) + items[0][2:]
                for place, text, label, style in sorted(items, key=lambda item: order.index(item[0])):
                    self.write(self.across(margin, place), y, text, size, label, style, align=place)
            if rng.random() < 0.35:
                self.pen.line((margin, top * 0.82, self.width - margin, top * 0.82), fill=self.ink)
        elif numbered:
            self.write(self.across(margin, places[0]), y, self.page_number(), size, "number", align=places[0])
        return numbered

    def put_footer(self, margin, bottom, numbered):
        """The foot of the page, and what lies over the page: text in the margin, a stamp."""
        rng, size = self.rng, self.size * self.rng.uniform(0.75, 1)
        y, place = self.height - bottom * rng.uniform(0.4, 0.7), rng.choice(("left", "middle", "middle", "right"))
        if rng.random() < 0.25:
            self.pen.line((margin, self.height - bottom * 0.85, self.width - margin, self.height - bottom * 0.85), fill=self.ink)
        chance = rng.random()
        if chance < 0.4:
            text = self.phrase(2, 10)[:60]
            if rng.random() < 0.3:
                text = rng.choice(("www.", "https://")) + (text.split(" ")[0].lower().strip(".,") or "page") + ".org"
            place = "right" if place == "middle" else place
            other = "middle" if rng.random() < 0.3 else "right" if place == "left" else "left"
            text = self.cut(text, self.face(size), (self.width - 2 * margin) * (0.5 if other != "middle" else 0.6))
            self.write(self.across(margin, other), y, text, size, "footer", align=other)
        elif chance < 0.48:
            high = bottom * 0.5
            left = margin if place != "left" else self.width - margin - 3 * high
            self.put_logo(left, self.height - bottom * 0.75, high * rng.uniform(1, 3), high, "footer_image")
        if not numbered and rng.random() < 0.75:
            self.write(self.across(margin, place), y, self.page_number(), size, "number", align=place)
        if rng.random() < 0.08:
            self.put_aside(margin)
        if rng.random() < 0.09:
            radius = self.height * rng.uniform(0.04, 0.1)
            self.put_seal(rng.uniform(radius, self.width - radius), rng.uniform(self.height * 0.4, self.height - radius), radius)

    def put_aside(self, margin):
        """Turned text in the margin."""
        rng = self.rng
        size = min(self.size * rng.uniform(0.9, 1.6), margin * 0.6)
        face, text = self.face(size), self.phrase(3, 10)[:70]
        strip = Image.new("L", (int(face.width(text)) + 4, int(size * 1.5)), 0)
        ImageDraw.Draw(strip).text((2, size * 1.1), text, font=face.font, fill=255, anchor="ls")
        strip = strip.rotate(rng.choice((90, 90, 270)), expand=True)
        if strip.height > self.height * 0.8:
            return
        x = (margin - strip.width) / 2 if rng.random() < 0.7 else self.width - margin + (margin - strip.width) / 2
        y = (self.height - strip.height) * rng.uniform(0.3, 0.7)
        self.image.paste((120,) * 3 if rng.random() < 0.5 else self.ink, (int(x), int(y)), strip)
        box = strip.getbbox()
        if box:
            self.add("aside_text", x + box[0], y + box[1], x + box[2], y + box[3])

    def put_watermark(self):
        """Large pale letters across the page, under everything: no region."""
        rng = self.rng
        face, text = self.face(self.height * rng.uniform(0.06, 0.13), "bold", self.head), rng.choice(("DRAFT", "COPY", "Entwurf", "CONFIDENTIAL", "SAMPLE", "Preprint"))
        strip = Image.new("L", (int(face.width(text)) + 8, int(face.size * 1.5)), 0)
        ImageDraw.Draw(strip).text((4, face.size * 1.1), text, font=face.font, fill=255, anchor="ls")
        strip = strip.rotate(rng.uniform(20, 65), Image.Resampling.BILINEAR, expand=True)
        shade = tuple(int(c * rng.uniform(0.72, 0.9)) for c in self.paper)
        self.image.paste(shade, (int((self.width - strip.width) / 2), int((self.height - strip.height) / 2)), strip)

    def put_footnotes(self, x, width, top, bottom):
        """Notes from `top` on, below a short rule."""
        rng, size = self.rng, self.size * self.rng.uniform(0.75, 0.88)
        if rng.random() < 0.8:
            self.pen.line((x, top - self.size * 0.5, x + width * 0.35, top - self.size * 0.5), fill=self.ink)
        y, number = top, rng.randint(1, 20)
        for i in range(rng.randint(1, 4)):
            words = self.words(rng.randint(4, 36))
            words[0] = rng.choice((str(number + i), "*", f"[{number + i}]")) + (" " if rng.random() < 0.4 else "") + words[0]
            below = self.put_words(x, y, width, "footnote", size, words=words, room=bottom - y, lead=1.15, indent=rng.choice((0, 0, self.size)))
            if below is None:
                break
            y = below + size * 0.35
