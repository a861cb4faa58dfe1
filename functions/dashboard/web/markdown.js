// @ts-check
// Renders advisory text. Parsed Markdown becomes elements of a fixed set and never HTML text, so an advisory cannot
// inject markup.
import { h } from "./vendor/preact.mjs";
import MarkdownIt from "./vendor/markdown-it.esm.min.mjs";

const parser = MarkdownIt({ html: false, linkify: false });

/** Allowed elements. Headings rank below the page's own. */
const ELEMENTS = {
  p: "p",
  em: "em",
  strong: "strong",
  s: "s",
  ul: "ul",
  ol: "ol",
  li: "li",
  blockquote: "blockquote",
  table: "table",
  thead: "thead",
  tbody: "tbody",
  tr: "tr",
  th: "th",
  td: "td",
  h1: "h3",
  h2: "h3",
  h3: "h4",
  h4: "h5",
  h5: "h6",
  h6: "h6",
};

/** @param {{text: string}} props */
export const Markdown = ({ text }) => drawn(parser.parse(text, {}));

/** @param {any[]} tokens a flat list of opening and closing tokens */
function drawn(tokens) {
  const open = [{ children: [], element: null, props: {} }];
  for (const token of tokens) {
    const inner = open[open.length - 1];
    if (token.nesting === 1) {
      open.push({ children: [], ...opened(token) });
    } else if (token.nesting === -1) {
      open.pop();
      const outer = open[open.length - 1].children;
      // markdown-it marks the paragraphs of a tight list as hidden.
      if (inner.element && !token.hidden) outer.push(h(inner.element, inner.props, inner.children));
      else outer.push(...inner.children);
    } else {
      inner.children.push(leaf(token));
    }
  }
  return open[0].children;
}

function opened(token) {
  if (token.tag === "a") return link(token.attrGet("href"));
  const start = token.tag === "ol" ? Number(token.attrGet("start") ?? 1) : undefined;
  return { element: ELEMENTS[token.tag] ?? null, props: start === undefined ? {} : { start } };
}

/** Only an HTTP(S) URL becomes a link. @param {string | null} href */
function link(href) {
  const safe = href !== null && /^https?:\/\//i.test(href);
  return { element: safe ? "a" : null, props: { href, rel: "noreferrer", target: "_blank" } };
}

function leaf(token) {
  switch (token.type) {
    case "inline":
      return drawn(token.children ?? []);
    case "code_inline":
      return h("code", null, token.content);
    case "fence":
    case "code_block":
      return h("pre", { tabindex: 0 }, h("code", null, token.content));
    case "hr":
      return h("hr", null);
    case "hardbreak":
      return h("br", null);
    case "softbreak":
      return " ";
    case "image": {
      // Not loaded: a request would tell the image's server who reads the advisory.
      const { element, props } = link(token.attrGet("src"));
      const text = token.content || "image";
      return element ? h(element, props, text) : text;
    }
    default:
      return token.content;
  }
}
