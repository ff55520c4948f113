import { defineConfig, loadEnv } from "vite";

// Two pages: the dashboard itself, and the rendered API document. What is built is served by the gateway as it is, under
// a content security policy that lets no inline script run.
export default defineConfig(({ mode }) => {
  // `npm run dev` passes on to a gateway that runs already: IRONBOOK_GATEWAY=http://127.0.0.1:7480
  const target = loadEnv(mode, ".", "IRONBOOK_").IRONBOOK_GATEWAY ?? "http://127.0.0.1:7480";
  return {
    build: {
      outDir: "../gateway/assets",
      emptyOutDir: true,
      target: "es2022",
      modulePreload: { polyfill: false },
      assetsInlineLimit: 0,
      chunkSizeWarningLimit: 2000,
      reportCompressedSize: false,
      rolldownOptions: { input: { index: "index.html", docs: "docs.html" } },
    },
    server: { proxy: { "/api": { target, ws: true }, "/stream": { target, ws: true }, "/metrics": { target } } },
  };
});
