"use strict";

// The ReDoc bundle loads the vendor's logo from cdn.redoc.ly and has no option to disable it. An empty data: URL
// replaces it.
const image = HTMLImageElement.prototype;
const src = Object.getOwnPropertyDescriptor(image, "src");
const withoutLogo = (value) => (String(value).startsWith("https://cdn.redoc.ly/") ? "data:," : value);
Object.defineProperty(image, "src", { ...src, set(value) { src.set.call(this, withoutLogo(value)); } });
image.setAttribute = function (name, value) {
  Element.prototype.setAttribute.call(this, name, name === "src" ? withoutLogo(value) : value);
};
