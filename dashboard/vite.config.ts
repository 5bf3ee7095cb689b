import { defineConfig } from "vite";

// Paths are relative: the same files are served below / (gateway, volunteer) and below /dashboard/ (node).
export default defineConfig({
  base: "./",
  build: {
    outDir: "../node/dashboard/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
});
