from rest_framework.routers import SimpleRouter

from whales import views

router = SimpleRouter(trailing_slash=False)
router.register("whales", views.WhaleViewSet, "whale")
router.register("whales/(?P<whale_id>[^/]+)/activities", views.WhaleActivityViewSet, "whale-activity")

urlpatterns = router.urls
