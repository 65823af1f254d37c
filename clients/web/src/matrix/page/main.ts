// The call page in Matrix mode.
import { Sdk } from '../sdk.ts';
import { parseMatrixRoute } from '../login.ts';

declare const WASM_FILE: string;

async function start(): Promise<void> {
  const route = parseMatrixRoute(location.hash);
  history.replaceState(null, '', location.pathname);
  if (!route.login) return;
  const sdk = await Sdk.start(route.login, WASM_FILE);
  console.log(sdk.user);
}
void start();
