// An app as its makers have it: Amplify with Cognito guests and Pinpoint analytics.
import { Amplify } from 'aws-amplify';
import { configureAutoTrack, flushEvents, identifyUser, record } from 'aws-amplify/analytics';

Amplify.configure({
  Auth: { Cognito: { identityPoolId: 'eu-central-1:11111111-2222-3333-4444-555555555555', allowGuestAccess: true } },
  Analytics: { Pinpoint: { appId: 'a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4', region: 'eu-central-1' } },
});

configureAutoTrack({ enable: true, type: 'session' });

globalThis.buy = async () => {
  await identifyUser({ userId: 'ann', userProfile: { email: 'ann@example.com', location: { city: '東京' } } });
  record({ name: 'bought', attributes: { coffee: 'café crème' }, metrics: { price: 3.5 } });
  record({ name: 'left' });
  flushEvents();
};
