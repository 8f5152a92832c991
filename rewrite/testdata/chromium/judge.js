// Run in headless Chromium by TestChromium. It parses pages as this browser
// does, with the parser's scripting flag on and off, edits their trees as a
// script of the page would, and writes trees as text.
const judge = (() => {
  const namespaces = {
    'http://www.w3.org/1999/xhtml': '',
    'http://www.w3.org/2000/svg': 'svg ',
    'http://www.w3.org/1998/Math/MathML': 'math ',
    'http://www.w3.org/1999/xlink': 'xlink ',
    'http://www.w3.org/XML/1998/namespace': 'xml ',
    'http://www.w3.org/2000/xmlns/': 'xmlns ',
  };
  const quote = (s) => '"' + s.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"') + '"';
  const qualified = (n) => (n.namespaceURI ? namespaces[n.namespaceURI] ?? '{' + n.namespaceURI + '} ' : '') + n.localName;

  // The content of an iframe without a source is under the content security
  // policy of this page, which allows nothing. So no script runs, though the
  // parser's scripting flag is on, but where the sandbox takes it away.
  function parser(sandbox) {
    const frame = document.createElement('iframe');
    if (sandbox) frame.sandbox = sandbox;
    frame.style.display = 'none';
    document.body.append(frame);
    return (page) => {
      const doc = frame.contentDocument;
      doc.open();
      doc.write(page);
      doc.close();
      if (doc.readyState === 'loading') throw new Error('the parser waits in ' + page);
      return doc;
    };
  }
  const sandboxes = { on: '', off: 'allow-same-origin' };
  const modes = Object.keys(sandboxes);
  const parse = Object.fromEntries(modes.map((mode) => [mode, parser(sandboxes[mode])]));

  // Fragments are parsed in documents of their own: innerHTML would have a
  // document refuse declarative shadow roots from then on.
  const own = Object.fromEntries(modes.map((mode) => [mode, {
    BackCompat: parser(sandboxes[mode])('<body>'),
    CSS1Compat: parser(sandboxes[mode])('<!doctype html><body>'),
  }]));

  // dump writes the nodes below root, one a line, adjacent texts as one. The
  // shadow root of closed is left out.
  function dump(root, closed) {
    const lines = [];
    const walk = (parent, indent) => {
      for (let n = parent.firstChild; n; n = n.nextSibling) {
        switch (n.nodeType) {
          case Node.TEXT_NODE: {
            let text = n.data;
            while (n.nextSibling?.nodeType === Node.TEXT_NODE) text += (n = n.nextSibling).data;
            if (text) lines.push(indent + quote(text));
            break;
          }
          case Node.COMMENT_NODE:
            lines.push(indent + '<!-- ' + quote(n.data) + ' -->');
            break;
          case Node.PROCESSING_INSTRUCTION_NODE:
            lines.push(indent + '<?' + quote(n.target) + ' ' + quote(n.data) + '>');
            break;
          case Node.DOCUMENT_TYPE_NODE:
            lines.push(indent + '<!doctype ' + [n.name, n.publicId, n.systemId].map(quote).join(' ') + '>');
            break;
          case Node.ELEMENT_NODE: {
            const attributes = Array.from(n.attributes, (a) => ' ' + qualified(a) + '=' + quote(a.value)).sort();
            lines.push(indent + '<' + qualified(n) + attributes.join('') + '>');
            if (qualified(n) === 'template') {
              lines.push(indent + ' content');
              walk(n.content, indent + '  ');
            }
            if (n.shadowRoot && n !== closed) {
              lines.push(indent + ' shadow root ' + n.shadowRoot.mode);
              walk(n.shadowRoot, indent + '  ');
            }
            walk(n, indent + ' ');
            break;
          }
          default:
            lines.push(indent + '?' + n.nodeType);
        }
      }
    };
    walk(root, '');
    return lines.join('\n');
  }

  const marked = (doc) => doc.querySelector('[data-surface="x"]');

  // children gives the fragment's nodes as parsed in an element like context,
  // but alone: there may be a form around it that the parser has closed.
  function children(context, html, mode) {
    const alone = own[mode][context.ownerDocument.compatMode].importNode(context, false);
    alone.setHTMLUnsafe(html); // unlike innerHTML it makes shadow roots
    return [...alone.childNodes];
  }

  const edit = {
    inner: (el, nodes) => el.replaceChildren(...nodes(el)),
    outer: (el, nodes) => el.replaceWith(...nodes(el.parentNode)),
    before: (el, nodes) => el.before(...nodes(el.parentNode)),
    after: (el, nodes) => el.after(...nodes(el.parentNode)),
    prepend: (el, nodes) => el.prepend(...nodes(el)),
    append: (el, nodes) => el.append(...nodes(el)),
    text: (el, _, c) => { el.textContent = c.html; },
    remove: (el) => el.remove(),
    attr(el, _, c) {
      for (const a of c.attributes) {
        if (a.Remove) el.removeAttribute(a.Name);
        else el.setAttribute(a.Name, a.Value);
      }
    },
    // The light tree stays; what is in the shadow root is looked at apart.
    shadow() {},
  };

  // compare gives, for each of c.outs, null if it parses to the edited tree of
  // c.page, else the mode it does not in, and both trees if c.trees.
  function compare(c) {
    const outs = c.outs.map(() => null);
    for (const mode of modes) {
      const before = parse[mode](c.page);
      const el = marked(before);
      if (el) edit[c.op](el, (context) => children(context, c.html, mode), c);
      const want = dump(before); // without the element, as a frameset leaves it, nothing changes
      c.outs.forEach((out, i) => {
        if (outs[i]) return;
        const after = parse[mode](out);
        let have = c.op === 'shadow' ? dump(after, marked(after)) : dump(after);
        if (el && c.op === 'shadow') {
          const root = marked(after)?.shadowRoot;
          if (!root) have += '\nno shadow root';
          else {
            const div = after.createElement('div');
            div.append(...children(div, c.html, mode));
            if (!root.innerHTML.includes(div.innerHTML)) have += '\nin the shadow root: ' + root.innerHTML;
          }
        }
        if (want !== have) outs[i] = c.trees ? { mode, want, have } : { mode };
      });
    }
    return outs;
  }

  const each = (f) => (all) => all.map(f);
  return {
    compare: each(compare),

    // dump gives a page's tree in each mode.
    dump: each((page) => modes.map((mode) => dump(parse[mode](page)))),

    // marks counts the marked elements of a page in each mode.
    marks: each((page) => modes.map((mode) => parse[mode](page).querySelectorAll('[data-surface="x"]').length)),

    // load gives the trees of documents loaded from their addresses.
    async load(urls) {
      const window = document.body.appendChild(document.createElement('iframe'));
      const trees = [];
      for (const url of urls) {
        await new Promise((loaded) => {
          window.onload = loaded;
          window.src = url;
        });
        trees.push(dump(window.contentDocument));
      }
      window.remove();
      return trees;
    },

    // harmed says whether any script of a page has run.
    harmed: () => window.harmed === true,
  };
})();
