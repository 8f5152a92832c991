// A worker that holds one page in memory and rewrites it with HTMLRewriter.
//
//   PUT  /page                    the page to rewrite from now on
//   PUT  /content                 what to put into its regions
//   GET  /page                    the page, rewritten
//   POST /METHOD?times=N          rewrites it so many times, tells the size

let page = new Uint8Array();
let content = "";
const buffer = { bytes: new ArrayBuffer(65536) };

const swap = {
  element(element) {
    element.setInnerContent(content, { html: true });
  },
};

const original = () => new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });

const rewritten = () =>
  new HTMLRewriter()
    .on('[data-surface="top"]', swap)
    .on('[data-surface="middle"]', swap)
    .on('[data-surface="end"]', swap)
    .transform(original());

const whole = async (response) => (await response.arrayBuffer()).byteLength;

const chunks = async (response) => {
  const reader = response.body.getReader({ mode: "byob" });
  for (let size = 0; ; ) {
    const { done, value } = await reader.read(new Uint8Array(buffer.bytes));
    buffer.bytes = value.buffer;
    if (done) return size;
    size += value.byteLength;
  }
};

// Two ways to take what comes out, and what it costs merely to take the page.
const methods = {
  "/whole": () => whole(rewritten()),
  "/chunks": () => chunks(rewritten()),
  "/copy": () => whole(original()),
};

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    switch (`${request.method} ${pathname}`) {
      case "PUT /page":
        page = new Uint8Array(await request.arrayBuffer());
        return new Response();
      case "PUT /content":
        content = await request.text();
        return new Response();
      case "GET /page":
        return rewritten();
    }
    let size = 0;
    for (let left = Number(searchParams.get("times")); left > 0; left--) size = await methods[pathname]();
    return new Response(String(size));
  },
};
