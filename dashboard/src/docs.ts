/** The rendered API document: what /api/v1/openapi.json says, made readable. */
import "swagger-ui-dist/swagger-ui.css";
import "./docs.css";
import { effect } from "@preact/signals";
import { dark } from "./state/theme";
import SwaggerUIBundle from "swagger-ui-dist/swagger-ui-bundle.js";

effect(() => {
  document.documentElement.classList.toggle("dark-mode", dark.value);
});

SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  supportedSubmitMethods: ["get"],
});
