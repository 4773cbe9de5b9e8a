"use strict";
const here = new URL(".", document.baseURI).href;

// Behind a proxy the service may lie below a path, of which its document knows nothing.
function belowHere(request) {
  if (!request.url.startsWith(here)) request.url = request.url.replace(location.origin + "/", here);
  return request;
}

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: -1,
  displayRequestDuration: true,
  requestInterceptor: belowHere,
  validatorUrl: null, // It would send the document's address to a service elsewhere.
});
