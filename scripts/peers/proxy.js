// A worker that swaps three regions of the pages of the service "origin".

const swap = (content) => ({
  element(element) {
    element.setInnerContent(content, { html: true });
  },
});

export default {
  async fetch(request, env) {
    return new HTMLRewriter()
      .on('[data-surface="top"]', swap(env.TOP))
      .on('[data-surface="middle"]', swap(env.MIDDLE))
      .on('[data-surface="end"]', swap(env.END))
      .transform(await env.ORIGIN.fetch(request));
  },
};
